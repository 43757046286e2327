"""Clients: a small program for one very model, in a language of the one who calls it."""
