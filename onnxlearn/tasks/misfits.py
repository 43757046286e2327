"""The few cells of a text column that keep it from being numbers, dates or booleans."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxlearn.schema import Kind
from onnxlearn.tasks.spellings import DECIMAL_POINT, is_number
from onnxlearn.wire import dates
from onnxlearn.wire.cells import parse_boolean, parse_number
from onnxlearn.wire.values import Place, describe

if TYPE_CHECKING:
    import pandas as pd

MAX_MISFITS = 5
"""More distinct cells than these are no slips: the column is text."""
MIN_FITTING = 0.9
"""From this share of fitting cells on, or of distinct ones, the others look like slips."""

PARSERS: Mapping[Kind, Callable[[str], object]] = {
    "numeric": parse_number,
    "boolean": parse_boolean,
    "datetime": dates.parse_iso,
}
_PLURALS: Mapping[Kind, str] = {"numeric": "numbers", "boolean": "booleans", "datetime": "ISO dates"}
_SPELLINGS: Mapping[Kind, str] = {
    "numeric": "write numbers like 1.5",
    "boolean": "write true or false",
    "datetime": "write dates as YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS",
}
_CONVERSIONS: Mapping[Kind, str] = {
    "numeric": "pandas.to_numeric(..., errors='coerce')",
    "boolean": ".map({'true': True, 'false': False})",
    "datetime": "pandas.to_datetime(..., errors='coerce')",
}


@dataclass(frozen=True)
class Misfits:
    """Distinct cells that are not of a kind, by first occurrence; how many cells are, and the row of the first that is not."""

    kind: Kind
    cells: tuple[str, ...]
    n_fitting: int
    n_present: int
    row: int

    def describe(self, where: Place) -> str:
        """What was noticed."""
        others = "".join(f", {cell!r}" for cell in self.cells[1:])
        return (
            f"{self.n_fitting} of {self.n_present} cells are {_PLURALS[self.kind]}, "
            f"{self.cells[0]!r} ({where(self.row)}){others} {'are' if others else 'is'} not"
        )

    def note(self, name: str, where: Place) -> str:
        """What happened to a feature column, and the ways out."""
        happened = f"column {name!r}: {self.describe(where)}, so all are taken as text; "
        if self.are_numbers:
            return happened + DECIMAL_POINT
        declared = f"--kind {shlex.quote(f'{name}={self.kind}')} (kinds={{{name!r}: {self.kind!r}}})"
        return f"{happened}{_as_missing(self.cells, self.kind)}, {declared} refuses it"

    def mending(self) -> str:
        """What to do about the cells of a target, which cannot be missing."""
        return DECIMAL_POINT if self.are_numbers else "mend or remove what is a slip"

    @property
    def are_numbers(self) -> bool:
        """Whether the cells are numbers too, written with a decimal comma or thousands separators."""
        return self.kind == "numeric" and all(map(is_number, self.cells))


def _as_missing(cells: Sequence[str], kind: Kind) -> str:
    options = " ".join(f"--na {shlex.quote(cell)}" for cell in cells)
    return f"if it means missing, say {options} beside the other spellings in use (of a data frame: {_CONVERSIONS[kind]})"


def first_misfit(values: Sequence[object], kind: Kind) -> tuple[int, str] | None:
    """The first text that does not write a value of the kind, with its row; the empty one is missing."""
    parse = PARSERS[kind]
    fits: dict[str, bool] = {}
    for row, value in enumerate(values):
        if isinstance(value, str) and value:
            if value not in fits:
                fits[value] = parse(value) is not None
            if not fits[value]:
                return row, value
    return None


def find_misfits(series: pd.Series[Any], counts: Mapping[str, int]) -> Misfits | None:
    """The slips in a column of text; ``None`` where there are none, or too many to be slips.

    ``series`` has all of its rows, ``counts`` says how often each text occurs.
    """
    for kind, parse in PARSERS.items():
        # Real text is recognised after a few of its values.
        odd = list(itertools.islice((text for text in counts if parse(text) is None), MAX_MISFITS + 1))
        if not 0 < len(odd) <= MAX_MISFITS:
            continue
        n_present = sum(counts.values())
        n_fitting = n_present - sum(counts[text] for text in odd)
        if max(n_fitting / n_present, 1 - len(odd) / len(counts)) >= MIN_FITTING:
            # Where and in which order they stand: pandas counts by frequency.
            values = list(enumerate(series.astype(object).tolist()))
            rows = {value: row for row, value in reversed(values) if isinstance(value, str) and value in odd}
            cells = tuple(sorted(odd, key=rows.__getitem__))
            return Misfits(kind, cells, n_fitting, n_present, rows[cells[0]])
    return None


def declared_misfit(name: str, kind: Kind, values: Sequence[object], where: Place) -> str | None:
    """Why a text column cannot be of the kind that was declared; ``None`` where all of its texts write values of it."""
    found = first_misfit(values, kind)
    if found is None:
        return None
    row, text = found
    is_odd_number = kind == "numeric" and is_number(text)
    way_out = DECIMAL_POINT if is_odd_number else f"{_SPELLINGS[kind]}; {_as_missing([text], kind)}"
    return f"column {name!r}, {where(row)}: the column is declared {kind} and holds {describe(text)}; {way_out}"
