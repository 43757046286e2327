"""What the command prints: results on stdout, talk on stderr."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from onnxlearn.errors import OutputError, ParameterError
from onnxlearn.processes import Place, place


def here() -> Place:
    """Which process this is; where the environment says what cannot be, which the command refuses, the only one."""
    try:
        return place()
    except ParameterError:
        return Place()


def say(line: str) -> None:
    """One line of talk on stderr, after the command's name. Of several processes that train together the first one talks."""
    if here().is_first:
        sys.stderr.write(f"onnxlearn: {_with_options(line)}\n")


def complain(line: str) -> None:
    """One line on stderr, whichever process it comes from."""
    rank, line = here().rank, _with_options(line)
    sys.stderr.write(f"onnxlearn: {line}\n" if rank == 0 else f"onnxlearn (process {rank}): {line}\n")


def _with_options(line: str) -> str:
    """Rules of images spelled as the command line has them."""
    return re.sub(r"the rule (\w+=[\w.]+|\w+) of images", r"--images \1", line)


def show(text: str) -> None:
    """A result, on stdout; of the first process alone."""
    if not here().is_first:
        return
    with _stdout() as stdout:
        stdout.write(f"{text}\n")


def show_all() -> None:
    """Bring all results out, here where a full disk still becomes a message and an exit code."""
    with _stdout() as stdout:
        stdout.flush()


@contextlib.contextmanager
def _stdout() -> Iterator[TextIO]:
    try:
        yield sys.stdout
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror}; choose another place") from error


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns under their headings, on stdout.

    >>> show_table(["measure", "test"], [["acc", "0.98"], ["logloss", "0.1"]])
    measure  test
    acc      0.98
    logloss  0.1
    """
    for line in table_lines(header, rows):
        show(line)


def table_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of :func:`show_table`, the heading first."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    for cells in (header, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
