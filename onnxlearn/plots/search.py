"""Plots of a search by its trials: how it went on, which parameters counted, and the front of several measures."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.measures import Measure
from onnxlearn.plots.canvas import COLOURS, FAINT, axes, drawn, legend, plain, short_name, span
from onnxlearn.plots.scores import measure_label
from onnxlearn.plots.trials import as_given, finished, needs_log, one_measure, scores
from onnxlearn.tuning.importance import parameter_shares
from onnxlearn.tuning.result import Tuning, cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 25
# Letters on a line beside or below a plot.
LONG, LINE = 32, 36
# Beside the axis, where there is no score: what a mark means, and how it looks.
_UNSCORED = {"pruned": ("stopped early", "v", FAINT), "failed": ("failed", "x", COLOURS[3])}


def optimization_history(found: Tuning, *, measure: str | None = None, ax: Axes | None = None) -> Axes:
    """The score of each trial by its number, and the best one so far as a line.

    Learners as they were given are marked; so are, at the bottom, trials that failed or were stopped early. ``measure``: one of
    those of the search, by default the first. Where scores above 0 differ by orders of magnitude, these are drawn.

    Raises: DataError where no trial was finished; UnknownNameError; MissingExtraError.

    >>> import onnxlearn as ol
    >>> found = ol.tune(ol.example_task("iris"), ol.learner("featureless"), "small", ol.CV(folds=2), budget=2)
    >>> ol.plots.optimization_history(found).get_ylabel()
    'logloss (smaller is better)'
    """
    done = sorted(finished(found, "an optimization history"), key=lambda trial: trial.number)
    by = one_measure(found, measure)
    own, ax = ax is None, axes(ax, height=3.2)
    values = scores(done, by)
    last = max(trial.number for trial in found.all)
    best = (np.minimum if by.minimize else np.maximum).accumulate(np.array(values))
    numbers = [trial.number for trial in done]
    handles = [
        *ax.step([*numbers, last], [*best, best[-1]], where="post", color=COLOURS[1], linewidth=1.6),
        *ax.plot(numbers, values, "o", color=COLOURS[0], markersize=4.5, alpha=0.75, markeredgewidth=0),
    ]
    names = ["best so far", "trial"]
    if given := as_given(done):
        handles += ax.plot([trial.number for trial in given], scores(given, by), "D", color=COLOURS[2], markersize=6)
        names.append("learner as given")
    for state, (name, marker, colour) in _UNSCORED.items():
        if numbers := [trial.number for trial in found.all if trial.state == state]:
            handles += ax.plot(
                numbers, [0] * len(numbers), marker, color=colour, markersize=5, transform=ax.get_xaxis_transform(),
                clip_on=False, zorder=4,
            )  # fmt: skip
            names.append(f"{name} ({len(numbers)})")
    ax.set_xlim(-0.5 - 0.02 * last, last + 0.5 + 0.02 * last)
    ax.set_xlabel("number of the trial")
    ax.locator_params(axis="x", integer=True, min_n_ticks=1)
    draw_scores(ax, by, values)
    legend(ax, handles, names, grow=own)
    return ax


def draw_scores(ax: Axes, measure: Measure, values: Sequence[float], *, axis: Literal["x", "y"] = "y") -> None:
    """Name and scale the axis of a measure, so that all these values are on it."""
    label = plain(measure_label(measure, measure.name))
    # Up the side there is less room.
    ax.set(**{f"{axis}label": label.replace(" (", "\n(") if axis == "y" and len(label) > LONG else label})
    log = needs_log(values, measure)
    low, high = span([np.log(values) if log else np.array(values)])
    if not log:
        ax.set(**{f"{axis}lim": (low, high)})
        if axis == "x":
            # Small numbers are long.
            ax.locator_params(axis="x", nbins=4)
        return
    ax.set(**{f"{axis}scale": "log", f"{axis}lim": (np.exp(low), np.exp(high))})
    drawn_on = ax.xaxis if axis == "x" else ax.yaxis
    drawn_on.set_major_formatter(lambda value, _: f"{value:g}")
    drawn_on.set_minor_formatter(lambda _value, _: "")


def parameter_importance(found: Tuning, *, measure: str | None = None, ax: Axes | None = None) -> Axes:
    """A bar for each parameter: its share in what tells the best trials from the others, the largest on top.

    By PED-ANOVA (:func:`onnxlearn.tuning.importance.parameter_shares`), of the best tenth of the trials, or of five where that
    is more. A line ends where 19 of 20 shares lie when scores are shuffled among the trials: a bar that is no longer
    tells nothing. A parameter that not all trials had says how many did; of one that fewer than ten had there is no bar.

    Raises: DataError where fewer than ten finished trials drew parameters, or all have one score; UnknownNameError;
    MissingExtraError.

    >>> import onnxlearn as ol
    >>> space = {"l2": ol.Range(1e-4, 1.0, log=True), "lr": ol.Range(1e-3, 1.0, log=True)}
    >>> learner = ol.learner("linear", max_epochs=1, seed=0)
    >>> found = ol.tune(ol.example_task("iris"), learner, space, ol.Holdout(), budget=12)
    >>> sorted(label.get_text() for label in ol.plots.parameter_importance(found).get_yticklabels())
    ['l2', 'lr']
    """
    finished(found, "parameter importance")
    by = one_measure(found, measure)
    told = parameter_shares(found, by)
    shown = told.shares[:MOST_BARS][::-1]
    some = [f"\n(in {each.n_trials} of {told.n_trials} trials)" if each.n_trials < told.n_trials else "" for each in shown]
    ax = axes(ax, height=1.4 + (0.38 if any(some) else 0.28) * len(shown))
    places = range(len(shown))
    ax.barh(places, [each.share for each in shown], color=COLOURS[0], height=0.62)
    ax.hlines(places, 0, [each.by_chance for each in shown], color=COLOURS[1], linewidth=2)
    ax.plot([each.by_chance for each in shown], places, "|", color=COLOURS[1], markersize=9, markeredgewidth=2)
    ax.set_yticks(places, [drawn(each.name) + note for each, note in zip(shown, some, strict=True)])
    # A line may be longer than all shares together.
    ax.set_xlim(0, 1.05 * min(1.0, max(max(each.share, each.by_chance) for each in shown)))
    ax.set_ylim(-0.6, len(shown) - 0.4)
    ax.grid(visible=False, axis="y")
    hidden = len(told.shares) - len(shown)
    lines = [
        f"share in what tells the best {told.n_best} of {told.n_trials} trials by {by.name} (line: 19 of 20 by chance)",
        f"{hidden} smaller shares are not shown" * bool(hidden),
        f"in fewer than ten trials: {', '.join(map(short_name, told.rare))}" * bool(told.rare),
    ]
    ax.set_xlabel(plain("\n".join(textwrap.fill(line, LINE) for line in lines if line)))
    return ax


def pareto_front(found: Tuning, measures: Sequence[str] | None = None, *, ax: Axes | None = None) -> Axes:
    """The trials of a search by several measures, and those that none beats by all of them.

    ``measures``: which two, across and up, by default the first ones; the front is always that of all.

    Raises: ParameterError for a search by one measure; DataError where no trial was finished; UnknownNameError;
    MissingExtraError.

    >>> import onnxlearn as ol
    >>> learner, measures = ol.learner("featureless"), ["logloss", "file_size"]
    >>> found = ol.tune(ol.example_task("iris"), learner, "small", ol.CV(folds=2), measures, budget=2)
    >>> ol.plots.pareto_front(found).get_xlabel()
    'logloss (smaller is better)'
    """
    done = finished(found, "a front")
    if len(found.measures) < 2:
        raise ParameterError(f"a front is of two measures or more, and this search was by {found.measures[0].name} alone")
    across, up = _two(found, measures)
    own, ax = ax is None, axes(ax, height=3.4)
    front = found.front
    others = [trial for trial in done if trial not in front]
    handles: list[Any] = []
    names = []
    if others:
        handles += ax.plot(scores(others, across), scores(others, up), "o", color=FAINT, markersize=4.5, alpha=0.7)
        names.append("beaten by another trial")
    front = sorted(front, key=lambda trial: cost(trial, across))
    line = "--" if len(found.measures) == 2 else ""
    handles += ax.plot(
        scores(front, across), scores(front, up), marker="o", linestyle=line, color=COLOURS[0], markersize=6, linewidth=1,
        drawstyle="steps-post",
    )  # fmt: skip
    names.append("front" if line else f"front of all {len(found.measures)} measures")
    if given := as_given(done):
        handles += ax.plot(scores(given, across), scores(given, up), "D", color=COLOURS[2], markersize=6, fillstyle="none")
        names.append("learner as given")
    draw_scores(ax, across, scores(done, across), axis="x")
    draw_scores(ax, up, scores(done, up))
    legend(ax, handles, names, grow=own)
    return ax


def _two(found: Tuning, names: Sequence[str] | None) -> tuple[Measure, Measure]:
    given = [measure.name for measure in found.measures[:2]] if names is None else list(names)
    if len(given) != 2 or given[0] == given[1]:
        raise ParameterError(f"a front is drawn by two measures, not by {given!r}")
    return one_measure(found, given[0]), one_measure(found, given[1])
