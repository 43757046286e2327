"""What a model makes of its columns: permutation importance and partial dependence, by running the file."""
