"""Resampling and benchmarks: learners fitted on parts of a task and scored on the rest, by running their exported files."""
