"""What the command line does beside the job itself: one file a command."""
