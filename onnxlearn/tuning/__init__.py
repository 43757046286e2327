"""Tuning: search spaces, studies that can be resumed, and learners that tune themselves."""
