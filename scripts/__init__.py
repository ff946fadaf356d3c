"""What make calls: the sample collection, the two demos, the settings table."""
