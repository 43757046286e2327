"""Measures by name, and measures of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, get_args

import numpy as np

from onnxlearn.errors import ParameterError, UnknownNameError, listing
from onnxlearn.measures import correlation, distributions, intervals, labels, probabilities, ranking, regression, run
from onnxlearn.measures.base import Average, Function, Measure, Needs, TaskKind
from onnxlearn.measures.outcome import Outcome
from onnxlearn.schema import Target

_ROOMS = (labels, probabilities, ranking, regression, correlation, intervals, distributions, run)
_TASKS: tuple[TaskKind, ...] = ("classification", "regression", "any")

MEASURES: dict[str, Measure] = {
    measure.name: measure for task in _TASKS for room in _ROOMS for measure in room.MEASURES if measure.task == task
}
"""Every measure by name; :func:`measure` adds to it."""

FAMILIES: Mapping[str, Callable[[Any], Measure]] = {
    "fbeta": labels.fbeta,
    "top": lambda k: probabilities.top_k(_whole(k)),
    "ece": lambda bins: probabilities.ece(_whole(bins)),
    "rqr": regression.rqr,
    "tweedie": regression.tweedie,
    "winkler": intervals.winkler,
    "pinball": distributions.pinball,
}
"""What makes a measure from a number, by what its name begins with: ``fbeta_2``."""

EXAMPLES = ("fbeta_2", "top_3", "ece_10", "winkler_0.8", "rqr_0.9", "tweedie_1.5", "pinball_0.9")
"""One name of each family."""


def get(name: str) -> Measure:
    """The measure of that name; one with a number in it, as ``fbeta_2`` or ``top_3``; one's own by ``package.module:name``.

    Raises: UnknownNameError with the nearest name; ParameterError where the number does not fit.

    >>> get("auc").range
    '[0, 1]'
    >>> get("top_3").summary
    'share of rows whose class is among the 3 most probable'
    """
    if name in MEASURES:
        return MEASURES[name]
    if ":" in name:
        return _imported(name)
    family, _, number = name.rpartition("_")
    if family in FAMILIES:
        return FAMILIES[family](_number(name, number))
    if name == "costs":
        raise ParameterError("measure 'costs' is made from a matrix, true classes down: ol.measures.costs([[0, 1], [10, 0]])")
    raise UnknownNameError.of("measure", name, MEASURES)


def _imported(name: str) -> Measure:
    # Here and not at the top: few need it.
    from onnxlearn.named import named_object

    found = named_object(name)
    if not isinstance(found, Measure):
        raise ParameterError(f"{name} has to be a Measure, not {found!r}: make it one with @ol.measure")
    return found


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"measure {name!r} has to end with a number, as in 'fbeta_2' or 'pinball_0.9'") from None


def _whole(number: float) -> Any:
    """An integer where it is one; what it is for refuses the others."""
    return int(number) if float(number).is_integer() else number


def all_measures() -> tuple[Measure, ...]:
    """Every measure: those of classification, of regression, of the run, then one's own."""
    return tuple(MEASURES.values())


def default_measures(target: Target) -> tuple[Measure, ...]:
    """What is reported when no measure is named, in the order of the names, as in a file's metadata."""
    names = ("acc", "auc", "logloss") if target.type == "classification" else ("mae", "r2", "rmse")
    return tuple(MEASURES[name] for name in names)


def resolve(measures: Iterable[str | Measure], target: Target) -> tuple[Measure, ...]:
    """Measures by name or themselves, by default :func:`default_measures`; each has to suit the target.

    Raises: UnknownNameError, ParameterError.
    """
    chosen = tuple(get(measure) if isinstance(measure, str) else measure for measure in measures)
    for measure in chosen:
        if not isinstance(measure, Measure):
            raise ParameterError(f"a measure is a name or a Measure, not {measure!r}: score('acc', 'logloss')")
        _require_suited(measure, target)
    _require_one_each(chosen)
    return chosen or default_measures(target)


def _require_suited(measure: Measure, target: Target) -> None:
    if measure.task not in (target.type, "any"):
        fitting = listing(other.name for other in all_measures() if other.task == target.type)
        raise ParameterError(f"measure {measure.name!r} is for {measure.task}, the model does {target.type}: {fitting}")
    if measure.two_classes and target.positive is None:
        raise ParameterError(
            f"measure {measure.name!r} is for two classes, the target {target.name!r} has {len(target.classes)}: "
            "choose another one, or predict one class against the rest"
        )


def _require_one_each(measures: Iterable[Measure]) -> None:
    """Scores are called by name: two measures of the same one would leave one out."""
    known: dict[str, Measure] = {}
    for measure in measures:
        if known.setdefault(measure.name, measure) != measure:
            raise ParameterError(
                f"two measures are called {measure.name!r}: leave one out, or give it a name of its own, as in "
                "costs(matrix, name=)"
            )


def score(outcome: Outcome, measures: Iterable[Measure]) -> dict[str, float]:
    """Value of each measure by name."""
    return {measure.name: measure(outcome) for measure in measures}


def measure(
    name: str,
    /,
    *,
    task: TaskKind,
    needs: Needs,
    minimize: bool | None,
    low: float = -np.inf,
    high: float = np.inf,
    summary: str = "",
    undefined: str = "",
    two_classes: bool = False,
    average: Average = "macro",
) -> Callable[[Function], Measure]:
    """Make a function of an :class:`Outcome` a measure, known by its name wherever measures are named.

    ``summary`` is by default the first line of the function's docstring; the other facts are those of :class:`Measure`. A
    function that is defined again, as in a notebook's cell that runs twice, replaces the one before. Another process knows the
    name only if it imports the module; give ``package.module:function`` on the command line, and the Measure itself elsewhere.

    Raises: ParameterError where the name is taken, or a fact is none of those there are.

    >>> import numpy as np
    >>> import onnxlearn as ol
    >>> @ol.measure("within_one", task="regression", needs="numbers", minimize=False, low=0, high=1)
    ... def within_one(outcome):
    ...     '''share of rows that are at most 1 off'''
    ...     return outcome.mean(np.abs(outcome.response - outcome.truth) <= 1)
    >>> ol.measures.get("within_one").range
    '[0, 1]'
    >>> del ol.measures.MEASURES["within_one"]
    """
    facts = {"task": task, "needs": needs, "average": average}
    _require_facts(name, facts, low, high)

    def register(function: Function) -> Measure:
        _require_free(name, function)
        doc = (function.__doc__ or "").strip().partition("\n")[0]
        MEASURES[name] = Measure(
            name=name, task=task, needs=needs, minimize=minimize, low=low, high=high, summary=summary or doc,
            undefined=undefined, two_classes=two_classes, average=average, function=partial(_own, name, function),
        )  # fmt: skip
        return MEASURES[name]

    return register


def _require_facts(name: str, facts: Mapping[str, object], low: float, high: float) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[^\W\d]\w*", name):
        raise ParameterError(
            f"a measure's name is a word of letters, digits and _, not {name!r}: @ol.measure('within_one', ...)"
        )
    for fact, choices in (("task", TaskKind), ("needs", Needs), ("average", Average)):
        if facts[fact] not in get_args(choices):
            raise ParameterError(f"measure {name!r}: {fact} is one of {listing(get_args(choices))}, not {facts[fact]!r}")
    if not low < high:
        raise ParameterError(f"measure {name!r}: low={low} has to be less than high={high}")


def _require_free(name: str, function: Function) -> None:
    family = name.rpartition("_")[0]
    if name == "costs" or (family in FAMILIES and name not in MEASURES):
        raise ParameterError(f"the name {name!r} is taken by measures that have a parameter: choose another one")
    if name not in MEASURES:
        return
    before = MEASURES[name].function
    if not (isinstance(before, partial) and before.func is _own and _place(before.args[1]) == _place(function)):
        raise ParameterError(f"there is a measure {name!r} already, {MEASURES[name].summary!r}: choose another name")


def _place(function: Function) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def _own(name: str, function: Function, outcome: Outcome) -> float:
    value = function(outcome)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ParameterError(f"measure {name!r} has to give one number, not {value!r}: return a float") from None
