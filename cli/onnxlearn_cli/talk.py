"""What the command prints: results on stdout, talk on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def say(line: str) -> None:
    """One line of talk on stderr, after the command's name."""
    sys.stderr.write(f"onnxlearn: {line}\n")


def show(text: str) -> None:
    """A result, on stdout."""
    sys.stdout.write(f"{text}\n")


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns under their headings, on stdout.

    >>> show_table(["measure", "test"], [["acc", "0.98"], ["logloss", "0.1"]])
    measure  test
    acc      0.98
    logloss  0.1
    """
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    for cells in (header, *rows):
        show("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def number(value: float) -> str:
    """Four significant digits, for tables that people read.

    >>> number(0.98254), number(12345.678), number(0.00001234)
    ('0.9825', '12350', '1.234e-05')
    """
    text = f"{value:.4g}"
    return f"{float(text):.0f}" if "e+" in text and abs(value) < 1e7 else text
