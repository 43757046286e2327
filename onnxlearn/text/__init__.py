"""Texts as columns: words, their ids and TF-IDF by standard operators inside the graph; word vectors from a file."""
