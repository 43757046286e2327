"""The kinds of layers, by what they are for."""
