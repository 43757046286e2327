"""Tables in files: reading them by suffix, whole and in batches; writing; from file to file."""
