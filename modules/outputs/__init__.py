"""What a run leaves behind: where it lies, what is planned, how it is published and what the report says of it."""
