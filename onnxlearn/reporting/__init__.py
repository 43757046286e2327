"""The report of a resampling or a benchmark: one page that needs nothing else."""
