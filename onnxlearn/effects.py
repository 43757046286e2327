"""Where a parameter counts: beside which other settings of its learner, and on which data.

A parameter says so in :func:`onnxlearn.params.param`. What is given where it does not count is refused: whoever gives a
parameter expects it to change something.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

Data: TypeAlias = Literal[
    "classification", "two classes", "regression",
    "numbers", "missing numbers", "categories", "ordered categories", "dates", "images", "texts",
]  # fmt: skip
"""What a task may have to have for a parameter to count. Ordered categories are categories; they and dates are numbers too."""


@dataclass(frozen=True)
class Values:
    """Values of a parameter beside which another one counts: ``text`` follows its name, ``hold`` tells them from others.

    >>> at_least(1).hold(0), at_least(1).hold(None), above(0).text, GIVEN.hold("auto")
    (False, True, ' > 0', True)
    """

    text: str
    hold: Callable[[Any], bool]


Beside: TypeAlias = "Mapping[str, Any] | Sequence[Mapping[str, Any]]"
"""Settings by name, all of which are needed; or several such sets, one of which is.

A setting is one value, a list of values that all do, or :class:`Values`.
"""


def at_least(low: float) -> Values:
    """Numbers from ``low`` on; also ``None``, which stands for a number that is chosen later."""
    return Values(f" >= {low:g}", lambda value: value is None or value >= low)


def above(low: float) -> Values:
    """Numbers greater than ``low``; also ``None``, which stands for a number that is chosen later."""
    return Values(f" > {low:g}", lambda value: value is None or value > low)


def other_than(value: Any) -> Values:
    """All values but this one."""
    return Values(f" other than {value}", lambda other: other != value)


GIVEN = Values(" given", lambda value: value is not None)
"""Any value but ``None``."""


def holds(beside: Beside, values: Mapping[str, Any]) -> bool:
    """Whether a parameter counts beside these settings of a learner.

    >>> holds({"norm": ["batch", "layer"], "n_blocks": at_least(1)}, {"norm": "batch", "n_blocks": 0})
    False
    >>> holds(({"coverage": GIVEN}, {"temperature": True}), {"coverage": None, "temperature": True})
    True

    A learner without a setting is as if that setting were right, if there is no other set.
    """
    return any(all(_fits(wanted, values[name]) for name, wanted in one.items()) for one in known_sets(beside, values))


def requirements(beside: Beside) -> list[dict[str, Callable[[Any], bool]]]:
    """The sets of settings, one of which is needed: for each name what tells whether a value will do."""
    return [{name: partial(_fits, wanted) for name, wanted in one.items()} for one in _sets(beside)]


def describe(beside: Beside) -> str:
    """The settings as a reader writes them.

    >>> describe({"norm": ["batch", "layer"], "n_blocks": at_least(1)}), describe(({"coverage": GIVEN}, {"temperature": True}))
    ('norm=batch or layer, n_blocks >= 1', 'coverage given; or temperature=True')
    """
    return "; or ".join(", ".join(_text(name, wanted) for name, wanted in one.items()) for one in _sets(beside))


def idle(name: str, value: Any, beside: Beside, values: Mapping[str, Any]) -> str:
    """Why a value was given for nothing beside these settings of a learner.

    >>> idle("n_bins", 16, {"num_embedding": "piecewise_linear"}, {"num_embedding": "pbld"})
    "n_bins=16 changes nothing with num_embedding='pbld': leave it out; it counts with num_embedding=piecewise_linear"
    """
    first = known_sets(beside, values)[0]
    found = " and ".join(f"{other}={values[other]!r}" for other, wanted in first.items() if not _fits(wanted, values[other]))
    return f"{name}={value!r} changes nothing with {found}: leave it out; it counts with {describe(beside)}"


def _sets(beside: Beside) -> Sequence[Mapping[str, Any]]:
    """The sets of settings, one of which is needed; a parameter that always counts has one that is empty."""
    return [beside] if isinstance(beside, Mapping) else beside or [{}]


def known_sets(beside: Beside, values: Container[str]) -> list[dict[str, Any]]:
    """The sets of settings as far as the learner has them; of one that it has nothing of, nothing, unless there is no other."""
    found = [{name: wanted for name, wanted in one.items() if name in values} for one in _sets(beside)]
    return [one for one in found if one] or [{}]


def _fits(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Values):
        return wanted.hold(value)
    return any(value == each for each in (wanted if isinstance(wanted, list) else [wanted]))


def _text(name: str, wanted: Any) -> str:
    if isinstance(wanted, Values):
        return f"{name}{wanted.text}"
    return f"{name}={' or '.join(map(str, wanted if isinstance(wanted, list) else [wanted]))}"
