"""The model zoo and its training: the only package that imports torch."""
