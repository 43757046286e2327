"""Columns of images: reading them from files, bytes and arrays, and the part of a graph that takes them in."""
