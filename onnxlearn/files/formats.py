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


def suffix_of(name: str) -> str:
    """The suffix that tells a file's format, without that of gzip.

    >>> suffix_of("data/Penguins.CSV.gz"), suffix_of("penguins")
    ('csv', 'penguins')
    """
    return name.lower().removesuffix(GZIP).rpartition(".")[2]


IMAGE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""How names of files of images end."""
