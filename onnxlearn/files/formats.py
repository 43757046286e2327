"""Formats of tables that can be read, by suffix."""

from __future__ import annotations

FORMATS = {
    "csv": "csv",
    "tsv": "tsv",
    "parquet": "parquet",
    "feather": "arrow",
    "arrow": "arrow",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "jsonl",
}
"""Suffixes, and the values of ``--format``, with the format that they mean."""
TEXT_FORMATS = ("csv", "tsv", "jsonl")
GZIP = ".gz"
