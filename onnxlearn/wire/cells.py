"""Cells of text files, read by the type that the schema declares and never by a guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxlearn.schema import Column
from onnxlearn.wire.values import MAX_EXACT, Place, Refused, converter, first_refusal, told_empty, values_array, wire_array

MAX_DIGITS = 400
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
INTEGER = re.compile(r"[+-]?[0-9]+")
LEADING_ZERO = re.compile(r"[+-]?0[0-9]+")
INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
TRUE_CELLS = frozenset({"true", "True", "TRUE"})
FALSE_CELLS = frozenset({"false", "False", "FALSE"})
# With these characters alone float() accepts exactly what NUMBER does: no underscores, names, hexadecimals or commas.
_NUMBER_CHARACTERS = re.compile(r"[0-9+\-.eE ]*")
_NAN = float("nan")


def parse_number(cell: str) -> int | float | None:
    """The number that a cell writes, ``None`` where it writes none. Spaces around it do not count.

    Infinity is a number here, so that it can be refused as one.

    >>> [parse_number(cell) for cell in ("3", " 1e3 ", "-inf", "1_000", "1,5", "0x10")]
    [3, 1000.0, -inf, None, None, None]
    """
    text = cell.strip(" ")
    if INTEGER.fullmatch(text) and len(text) < MAX_DIGITS:
        number = int(text)
        # An integer has no negative zero, a double does.
        return -0.0 if number == 0 and text[0] == "-" else number
    return float(text) if NUMBER.fullmatch(text) or INFINITE.fullmatch(text) else None


def parse_boolean(cell: str) -> bool | None:
    """``true`` and ``false``, capitalised or not; ``None`` for anything else."""
    text = cell.strip(" ")
    return True if text in TRUE_CELLS else False if text in FALSE_CELLS else None


_PARSERS: dict[str, Callable[[str], object]] = {"boolean": parse_boolean, "datetime": lambda cell: cell.strip(" ")}


def cell_converter(column: Column, na: Collection[str]) -> Callable[[str], Any]:
    """The function that turns one text cell of this column into what goes on the wire; it raises :class:`Refused`.

    >>> cell_converter(Column(name="x", kind="categorical", dtype="int64"), {"", "NA"})("3.0")
    3
    """
    convert = converter(column if column.dtype != "duration" else replace(column, dtype="float64"))
    if column.onnx_type == "STRING":
        return lambda cell: convert(None if cell in na else cell)
    # Booleans that were 0 and 1 in training are numbers in a file too.
    of_kind = parse_number if column.dtype == "int64" else _PARSERS.get(column.kind, parse_number)
    parse: Callable[[str], object] = of_kind

    def convert_cell(cell: str) -> Any:
        if cell in na or cell.strip(" ") in na:
            return convert(None)
        value = parse(cell)
        return refuse(cell) if value is None else convert(value)

    def refuse(cell: str) -> Any:
        # The converter says what it expects; what to do about it is another thing in a file than in a data frame.
        try:
            return convert(cell)
        except Refused as reason:
            raise Refused(f"{str(reason).rpartition('; ')[0]}; mend the cell, or leave it empty for missing") from None

    return convert_cell


def cells_array(cells: Sequence[str], column: Column, na: Collection[str], where: Place) -> Any:
    """Text cells as a ``[n, 1]`` array of the column's type.

    Cells in ``na`` are missing. Durations are written in seconds. Raises ``DataTypeError`` naming the column, ``where(i)`` and
    the first cell that does not parse.
    """
    if column.kind == "image":
        return values_array([None if cell in na else cell for cell in cells], column, where)
    if column.onnx_type == "DOUBLE" and column.kind == "numeric":
        numbers = _plain_numbers(cells, na)
        if numbers is not None:
            return numbers.reshape(-1, 1)
    convert = cell_converter(column, na)
    try:
        # Cells repeat: each spelling is read once.
        known = {cell: convert(cell) for cell in set(cells)}
    except Refused:
        raise first_refusal(cells, column, where, convert) from None
    return told_empty(wire_array([known[cell] for cell in cells], column), column, where)


def _plain_numbers(cells: Sequence[str], na: Collection[str]) -> NDArray[np.float64] | None:
    """A column of unsuspicious numbers, read at once; ``None`` where any cell wants a closer look."""
    texts = ["nan" if cell in na else cell for cell in cells]
    if not _NUMBER_CHARACTERS.fullmatch("".join([text for text in texts if text != "nan"])):
        return None
    try:
        numbers = np.array(list(map(float, texts)), dtype=np.float64)
    except ValueError:
        return None
    # Integers this large may not be exact; this also catches 1e999.
    return None if bool(np.any(np.abs(numbers) >= MAX_EXACT)) else numbers
