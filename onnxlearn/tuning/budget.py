"""When a search ends."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from onnxlearn.errors import ParameterError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """When a search ends: with the first of these; ``None`` is no limit.

    ``trials``: so many, with those of earlier calls for the same folder or database. ``seconds``: of this call; what is under
    way then is finished. ``stagnation``: so many finished trials in a row that are no better than the best before them.

    >>> Budget(trials=50, seconds=600)
    Budget(trials=50, seconds=600, stagnation=None)

    Raises: ParameterError where nothing would end the search, or a number is none above 0.
    """

    trials: int | None = None
    seconds: float | None = None
    stagnation: int | None = None

    def __post_init__(self) -> None:
        given = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        if not given:
            raise ParameterError("a budget needs an end: trials=50, seconds=600 or stagnation=20")
        for name, value in given.items():
            kind = int | float if name == "seconds" else int
            if not isinstance(value, kind) or isinstance(value, bool) or value <= 0:
                raise ParameterError(f"{name} of a budget is a number above 0, not {value!r}")


def budget_of(given: Any) -> Budget:
    """A budget; a number of trials, as a text too; or a time as text.

    >>> budget_of("20"), budget_of("1.5m").seconds, budget_of("1h").seconds
    (Budget(trials=20, seconds=None, stagnation=None), 90.0, 3600.0)

    Raises: ParameterError.
    """
    if isinstance(given, Budget):
        return given
    if isinstance(given, str) and given.isdecimal():
        given = int(given)
    if isinstance(given, str):
        return Budget(seconds=seconds_of(given))
    if isinstance(given, int) and not isinstance(given, bool):
        return Budget(trials=given)
    raise ParameterError(f"a budget is a number of trials, a time such as '10m', or ol.Budget(trials=50), not {given!r}")


def seconds_of(text: str) -> float:
    """A time as text in seconds. Raises: ParameterError."""
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if parts is None or not float(parts[1]):
        raise ParameterError(f"a time is a number above 0 with s, m or h, such as '90s', '10m' or '1.5h', not {text!r}")
    return float(parts[1]) * _UNITS[parts[2]]
