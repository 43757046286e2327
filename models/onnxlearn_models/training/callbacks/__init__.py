"""What stands beside the steps of a training: one file for each kind."""
