"""A whole text table as a data frame: each column gets the one type that all of its cells have."""

from __future__ import annotations

import contextlib
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.errors import TableReadError
from onnxlearn.files.arrow import ArrowReader
from onnxlearn.files.text import CellReader, JsonReader
from onnxlearn.schema import MISSING_INT64
from onnxlearn.wire.cells import INFINITE, LEADING_ZERO, parse_boolean, parse_number
from onnxlearn.wire.feeds import line_place
from onnxlearn.wire.values import MAX_EXACT, MAX_INT64, Place, row_place

if TYPE_CHECKING:
    import pandas as pd

    from onnxlearn.files.tables import TableReader


@dataclass(frozen=True)
class WholeTable:
    """A file as a data frame, notes on what was noticed, and how to name a row of it: by its line in a text file."""

    frame: pd.DataFrame
    notes: tuple[str, ...]
    where: Place


def whole_table(reader: TableReader, na: Collection[str], numeric: Collection[str] = ()) -> WholeTable:
    """Everything in an open table; ``numeric``: text columns declared so, whose leading zeros mean nothing."""
    import pandas as pd

    if isinstance(reader, ArrowReader):
        return WholeTable(reader.frame(), (), row_place)
    assert isinstance(reader, CellReader | JsonReader)
    notes: list[str] = []
    lines = array("q")
    columns: dict[str, list[Any]] = {name: [] for name in reader.columns}
    for batch in reader.batches():
        lines.extend(batch.lines)
        for name, values in columns.items():
            values.extend(batch.column(name))
    if columns and not next(iter(columns.values())):
        raise TableReadError("the table has a header and no rows; there is nothing to fit")
    if isinstance(reader, CellReader):
        for name, cells in columns.items():
            columns[name] = typed_cells(name, cells, na, notes, keep_zeros=name not in numeric)
    frame = pd.DataFrame({name: typed_series(values) for name, values in columns.items()}, columns=list(reader.columns))
    return WholeTable(frame, tuple(notes), line_place(lines))


def typed_cells(
    name: str, cells: Sequence[str], na: Collection[str], notes: list[str], *, keep_zeros: bool = True
) -> list[Any]:
    """Cells as Python values of one type, ``None`` where missing."""
    # Cells repeat, so each spelling is looked at once.
    distinct = set(cells)
    missing = {cell for cell in distinct if cell in na or cell.strip(" ") in na}
    known = _parsed(distinct - missing, keep_zeros=keep_zeros)
    if known is None:
        # Text keeps its spaces: only the cell itself can mean missing.
        missing = {cell for cell in distinct if cell in na}
        known = {cell: cell for cell in distinct - missing}
        _note_missing(name, cells, missing, notes)
    values: dict[str, Any] = {**known, **dict.fromkeys(missing)}
    return [values[cell] for cell in cells]


def _parsed(cells: set[str], *, keep_zeros: bool) -> dict[str, Any] | None:
    """Numbers or booleans, if every cell is one; ``None`` for text."""
    # A zip code or an account number: as a number it would lose its zeros.
    if keep_zeros and any(LEADING_ZERO.fullmatch(cell.strip(" ")) for cell in cells):
        return None
    for parse in (parse_number, parse_boolean):
        known = {cell: parse(cell) for cell in cells}
        # What says "inf" and nothing else is a name.
        if None not in known.values() and not (cells and all(map(_is_infinite, cells))):
            return known
    return None


def _is_infinite(cell: str) -> bool:
    return INFINITE.fullmatch(cell.strip(" ")) is not None


def _note_missing(name: str, cells: Sequence[str], missing: set[str], notes: list[str]) -> None:
    counts = Counter(cell for cell in cells if cell and cell in missing)
    if counts:
        said = ", ".join(f"{cell!r} ({count})" for cell, count in sorted(counts.items()))
        notes.append(f"column {name!r}: cells of text read as missing: {said}; na (--na) says which cells mean missing")


def typed_series(values: list[Any]) -> pd.Series[Any]:
    """Python values as a column of the narrowest exact type; mixtures stay Python objects."""
    import pandas as pd

    types = set(map(type, values))
    has_missing = type(None) in types
    types.discard(type(None))
    if types == {bool}:
        return pd.Series(values, dtype="boolean" if has_missing else "bool")
    # Int64 rather than floats with NaN: an integer with holes is still an integer, beyond 2^53 too.
    if types == {int} and all(value is None or MISSING_INT64 <= value <= MAX_INT64 for value in values):
        return pd.Series(values, dtype="Int64" if has_missing else "int64")
    if types <= {int, float} and all(type(value) is not int or -MAX_EXACT <= value <= MAX_EXACT for value in values):
        return pd.Series(np.array(values, dtype=np.float64))
    if types == {str}:
        with contextlib.suppress(UnicodeEncodeError):
            return pd.Series(values)
    # Half a surrogate pair, which pandas' own text has no place for, comes here too: it is told later, with its line.
    return pd.Series(values, dtype=object)
