"""Text that a person reads as dates or numbers, written in a form that is not read as such."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from onnxlearn.schema import Kind
from onnxlearn.wire.cells import NUMBER

_TIME = r"(?:[T ]+[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?[AaPp][Mm])?(?: ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?)?"
_YEAR_LAST = re.compile(r"([0-9]{1,2})([./-])([0-9]{1,2})\2[0-9]{4}" + _TIME)
_YEAR_FIRST = re.compile(r"[0-9]{4}([./-])([0-9]{1,2})\1([0-9]{1,2})" + _TIME)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}([.,' ])[0-9]{3}(?:\1[0-9]{3})*(?:[.,][0-9]+)?")

DECIMAL_POINT = "write numbers with a decimal point and no other separator, like 1234.5"

_WAYS_OUT: Mapping[Kind, str] = {
    "datetime": "to train on dates write them as YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS (of a data frame: "
    "pandas.to_datetime(..., format=...))",
    "numeric": "to train on numbers write them like 1234.5 (of a data frame: pandas.read_csv(..., decimal=',', thousands='.'))",
}
_TARGET_WAYS_OUT: Mapping[Kind, str] = {
    "datetime": "a date is no target: to predict numbers make them of it, such as the days since the first date (of a data "
    "frame: dates = pandas.to_datetime(..., format=...), then (dates - dates.min()).dt.days)",
    "numeric": _WAYS_OUT["numeric"],
}
_NAMES: Mapping[Kind, str] = {"datetime": "dates", "numeric": "numbers with decimal commas or thousands separators"}


def odd_spelling(texts: Iterable[str], *, target: bool = False) -> str | None:
    """What was noticed and the way out, where every text looks like a date or a number of another form; ``None`` otherwise.

    The text of a ``target`` becomes classes, where that of a feature stays text.

    >>> odd_spelling(["a", "1,5"]) is None
    True
    """
    distinct = [text.strip(" ") for text in texts]
    tests: Mapping[Kind, Callable[[str], bool]] = {"datetime": _is_date, "numeric": is_number}
    for kind, looks_like in tests.items():
        # Plain numbers among the others are no example: there is nothing odd about them.
        odd = next((text for text in distinct if not NUMBER.fullmatch(text)), None)
        if odd is not None and all(map(looks_like, distinct)):
            taken, ways_out = ("classes", _TARGET_WAYS_OUT) if target else ("text", _WAYS_OUT)
            return f"its cells look like {_NAMES[kind]} ({odd!r}) and are taken as {taken}; {ways_out[kind]}"
    return None


def _is_date(text: str) -> bool:
    if match := _YEAR_LAST.fullmatch(text):
        return _is_day_and_month(int(match[1]), int(match[3]))
    match = _YEAR_FIRST.fullmatch(text)
    return match is not None and _is_day_and_month(int(match[2]), int(match[3]))


def _is_day_and_month(one: int, other: int) -> bool:
    """In either order, for 3/4 may be in March or in April."""
    return 1 <= min(one, other) <= 12 and max(one, other) <= 31


def is_number(text: str) -> bool:
    """Whether a person reads the text as a number, be it with a decimal comma or thousands separators.

    >>> is_number("12,5"), is_number("about 12")
    (True, False)
    """
    return any(pattern.fullmatch(text) for pattern in (NUMBER, _DECIMAL_COMMA, _THOUSANDS))
