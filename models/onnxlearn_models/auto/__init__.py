"""Learner ``auto``: the strong learners within a time, and of what they came to one file."""
