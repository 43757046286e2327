"""Rows as JSON: what a request holds, what is wrong with it, and the answer's rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxlearn.errors import DataError, did_you_mean
from onnxlearn.schema import Column, Schema
from onnxlearn.wire.examples import in_seconds
from onnxlearn.wire.feeds import Feeds
from onnxlearn.wire.plain import plain_feeds
from onnxlearn.wire.sent import SentImages
from onnxlearn.wire.values import MAX_EXACT, Converter, Refused, converter, describe, wire_array

MOST_MISTAKES = 20
_MOST_TEXT = 100

_DATES = '"YYYY-MM-DD" or "YYYY-MM-DDTHH:MM:SS"'


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """What is wrong with one field of a request; ``row`` counts from 0 and is ``None`` where it concerns no row."""

    field: str
    row: int | None
    value: Any
    rule: str

    def __str__(self) -> str:
        at = "" if self.row is None else f"row {self.row}, "
        return f"{at}field {self.field!r}: {self.rule}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, long ones shortened."""
        return {"field": self.field, "row": self.row, "value": shown(self.value), "rule": self.rule}


class RowsError(DataError):
    """A request's rows do not fit the model: the first mistakes in it."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__(*mistakes)
        self.mistakes = mistakes

    def __str__(self) -> str:
        more = len(self.mistakes) - 1
        return f"{self.mistakes[0]}{f' (and {more} more)' if more else ''}"


class RowReader:
    """Reads the rows of requests for one model.

    >>> from onnxlearn.schema import Target
    >>> column = Column(name="age", kind="numeric", dtype="float64")
    >>> schema = Schema(name="t", features=(column,), target=Target(names=("y",), type="regression", dtype="float64"))
    >>> RowReader(schema).feeds({"rows": [{"age": 31}, {"age": None}]})["age"].tolist()
    [[31.0], [nan]]
    """

    def __init__(self, schema: Schema) -> None:
        self._images = {column.name: SentImages(column, schema) for column in schema.of_kind("image")}
        self._columns: list[tuple[Column, Converter]] = [
            (column, self._images[column.name].read if column.kind == "image" else converter(column))
            for column in in_seconds(schema).features
        ]
        self._names = set(schema.feature_names)
        self._durations = {column.name for column in schema.features if column.dtype == "duration"}

    def feeds(self, body: object) -> Feeds:
        """Feeds of a request ``{"rows": [{column: value, ...}, ...]}``; ``null`` is missing, further columns are ignored.

        Raises: RowsError.
        """
        rows = _rows_of(body)
        try:
            values = {column.name: [row[column.name] for row in rows] for column, _ in self._columns}
            plain = plain_feeds([column for column, _ in self._columns], values)
            return {
                column.name: plain[column.name] if column.name in plain else self._feed(values[column.name], column, convert)
                for column, convert in self._columns
            }
        except (Refused, KeyError, TypeError) as error:
            mistakes = self._mistakes(rows)
            if not mistakes and isinstance(error, Refused):
                # Of all rows together.
                mistakes = [Mistake(field="rows", row=None, value=len(rows), rule=str(error))]
            if not mistakes:
                raise
            raise RowsError(*mistakes) from error

    def _feed(self, values: list[Any], column: Column, convert: Converter) -> Any:
        if column.name in self._images:
            return self._images[column.name].feed(values)
        return wire_array([convert(value) for value in values], column)

    def _mistakes(self, rows: list[Any]) -> list[Mistake]:
        found: list[Mistake] = []
        for i, row in enumerate(rows):
            found += self._mistakes_of(i, row)
            if len(found) >= MOST_MISTAKES:
                break
        return found[:MOST_MISTAKES]

    def _mistakes_of(self, i: int, row: object) -> list[Mistake]:
        if not isinstance(row, Mapping):
            rule = f"a row is an object of every column, not {_what(row)}"
            return [Mistake(field="rows", row=i, value=row, rule=rule)]
        found = []
        for column, convert in self._columns:
            if column.name not in row:
                hint = did_you_mean(column.name, [name for name in row if name not in self._names])
                rule = f"every row needs this field; write null where the value is missing.{hint}"
                found.append(Mistake(field=column.name, row=i, value=None, rule=rule))
                continue
            try:
                convert(row[column.name])
            except Refused as reason:
                rule = f"{_reason(reason)}; write {self._way_out(column)}"
                found.append(Mistake(field=column.name, row=i, value=row[column.name], rule=rule))
        return found

    def _way_out(self, column: Column) -> str:
        missing = "" if column.strict_bool else ", or null for missing"
        if column.name in self._durations:
            return f"a number of seconds{missing}"
        if column.kind == "datetime":
            return f"{_DATES}{' with Z or +HH:MM' if column.dtype == 'utc' else ' without a zone'}{missing}"
        if column.kind == "boolean":
            return f"{'0 or 1' if column.dtype == 'int64' else 'true or false'}{missing}"
        if column.kind == "numeric":
            return f"a finite number{missing}"
        if column.kind == "image":
            return f"the bytes of a JPEG, PNG or other image file as base64 text{missing}"
        return f"{'a whole number' if column.dtype == 'int64' else 'text'}{missing}"


def _rows_of(body: object) -> list[Any]:
    if not isinstance(body, Mapping):
        rule = f'the body is an object {{"rows": [...]}}, not {_what(body)}'
        raise RowsError(Mistake(field="", row=None, value=body, rule=rule))
    unknown = [name for name in body if name != "rows"]
    if "rows" not in body or unknown:
        there = f"there is {unknown[0]!r}" if unknown else "there is none"
        raise RowsError(Mistake(field="rows", row=None, value=None, rule=f'the body has the one field "rows", {there}'))
    rows = body["rows"]
    if not isinstance(rows, list):
        rule = f"a list of rows, not {_what(rows)}"
        raise RowsError(Mistake(field="rows", row=None, value=rows, rule=rule))
    return rows


def _reason(reason: Refused) -> str:
    """Why, without the way out, which is one for data frames."""
    text = str(reason)
    return text.rpartition("; ")[0] or text


def _what(value: object) -> str:
    return "null" if value is None else "an object" if isinstance(value, dict) else describe(value)


def shown(value: Any) -> Any:
    """A value as a message shows it: as it came where it is short and plain, else the beginning of its JSON.

    >>> shown("abc"), shown([1, None]), shown("a" * 200)[-5:]
    ('abc', '[1, null]', 'aa...')
    """
    text = json.dumps(value, ensure_ascii=True, default=str)
    short = len(text) <= _MOST_TEXT
    # Not every number and text of Python's can be written for everybody.
    plain = type(value) in (bool, type(None)) or (isinstance(value, str) and value.isascii()) or is_plain_number(value)
    return value if short and plain else text if short else text[: _MOST_TEXT - 3] + "..."


def is_plain_number(value: object) -> bool:
    """Whether a value is a number that a double holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_EXACT <= value <= MAX_EXACT
