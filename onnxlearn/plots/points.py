"""Plots of a search by the values of its parameters: slices, and parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from onnxlearn.errors import DataError, ParameterError, UnknownNameError
from onnxlearn.measures import Measure
from onnxlearn.plots.canvas import COLOURS, FAINT, INK, Array, axes, drawn, new_figure
from onnxlearn.plots.search import draw_scores
from onnxlearn.plots.trials import (
    Parameter,
    finished,
    needs_log,
    one_measure,
    one_parameter,
    parameters,
    require_drawn,
    scores,
    share,
    ticks,
)
from onnxlearn.tuning.ranges import Choice, Range
from onnxlearn.tuning.result import Tuning, cost
from onnxlearn.tuning.trial import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS, PANEL = 3, (3.3, 2.7)
# More axes side by side cannot be followed; inches between two of them.
MOST_AXES, APART = 12, 1.15
# Where a line passes the axis of a parameter that its trial had not.
BELOW = -0.13
_GOLDEN = 0.618034


def slices(found: Tuning, param: str | None = None, *, measure: str | None = None, ax: Axes | None = None) -> Axes:
    """The score of each trial by the value of a parameter; of a choice also the median of each value.

    ``param``: which one; of several learners as ``"mlp.lr"``, and ``"learner"`` is the choice between them. Without it all are
    drawn side by side on one figure: the first Axes comes back, ``axes.figure.axes`` has the others. A diamond is the best
    trial, a line across the learner as it was given. A range of orders of magnitude has a logarithmic axis.

    Raises: DataError where no finished trial drew the parameter; ParameterError for an Axes without a parameter;
    UnknownNameError; MissingExtraError.

    >>> import onnxlearn as ol
    >>> learner = ol.learner("linear", max_epochs=1, seed=0)
    >>> space = {"lr": ol.Range(1e-3, 1.0, log=True)}
    >>> found = ol.tune(ol.example_task("iris"), learner, space, ol.Holdout(), budget=3)
    >>> ol.plots.slices(found, "lr").get_xscale()
    'log'
    """
    done = finished(found, "a slice")
    by = one_measure(found, measure)
    if param is not None:
        return _draw_slice(one_parameter(found, param), done, by, axes(ax, height=3.0))
    if ax is not None:
        raise ParameterError("an Axes has room for one parameter: choose it by param='lr', or leave ax out")
    shown = drawn_parameters(found, require_drawn(done, "a slice"))
    n_columns = min(COLUMNS, len(shown))
    n_rows = -(-len(shown) // n_columns)
    figure = new_figure(n_columns * PANEL[0], n_rows * PANEL[1])
    panels = [axes(figure.add_subplot(n_rows, n_columns, i + 1)) for i in range(len(shown))]
    for panel, each in zip(panels, shown, strict=True):
        _draw_slice(each, done, by, panel)
    return panels[0]


def drawn_parameters(found: Tuning, trials: Sequence[Trial]) -> list[Parameter]:
    """The parameters that one of the trials drew."""
    return [each for each in parameters(found) if any(each.place(trial) is not None for trial in trials)]


def _draw_slice(param: Parameter, done: Sequence[Trial], by: Measure, ax: Axes) -> Axes:
    trials = [trial for trial in done if trial.params and param.place(trial) is not None]
    if not trials:
        raise DataError(f"a slice has nothing to draw: no finished trial drew {param.name!r}")
    n_drawn = sum(bool(trial.params) for trial in done)
    places = np.array([param.place(trial) for trial in trials], np.float64)
    values = np.array(scores(trials, by))
    for trial in done:
        if not trial.params and param.learner in ("", trial.learner):
            ax.axhline(trial.scores[by.name], color=COLOURS[2], linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    if isinstance(param.domain, Choice):
        _draw_choice(ax, param, places, values)
        # Beside each other, each always at the same place.
        places = places + 0.36 * (np.array([trial.number for trial in trials]) * _GOLDEN % 1 - 0.5)
    else:
        _scale(ax, param)
    ax.plot(places, values, "o", color=COLOURS[0], markersize=4.5, alpha=0.7, markeredgewidth=0)
    best = min(require_drawn(done, "a slice"), key=lambda trial: cost(trial, by))
    if best in trials:
        i = trials.index(best)
        ax.plot(places[i], values[i], "D", color=COLOURS[1], markersize=6.5, zorder=4)
    some = f" (in {len(trials)} of {n_drawn} trials)" if len(trials) < n_drawn else ""
    ax.set_xlabel(drawn(param.name) + some)
    draw_scores(ax, by, scores(done, by))
    return ax


def _scale(ax: Axes, param: Parameter) -> None:
    """The axis from end to end of what was searched."""
    assert isinstance(param.domain, Range), "a choice has places"
    low, high = param.domain.low, param.domain.high
    room = (high / low) ** 0.04 if param.is_log else 0.04 * (high - low)
    ax.set_xscale("log" if param.is_log else "linear")
    ax.set_xlim(*((low / room, high * room) if param.is_log else (low - room, high + room)))
    places, texts = zip(*param.ticks, strict=True)
    ax.set_xticks(places, texts)
    ax.set_xticks([], minor=True)


def _draw_choice(ax: Axes, param: Parameter, places: Array, values: Array) -> None:
    """Values by their names, each with the median of its scores."""
    texts = param.texts
    long = sum(map(len, texts)) > 24
    ax.set_xticks(range(len(texts)), texts, rotation=30 if long else 0, ha="right" if long else "center")
    ax.set_xlim(-0.6, len(texts) - 0.4)
    ax.grid(visible=False, axis="x")
    for place in np.unique(places):
        ax.hlines(np.median(values[places == place]), place - 0.3, place + 0.3, color=COLOURS[1], linewidth=2, zorder=3)


def parallel_coordinates(
    found: Tuning, *, learner: str | None = None, measure: str | None = None, ax: Axes | None = None
) -> Axes:
    """A line for each finished trial through the values of its parameters and its score, the better the stronger.

    An axis ends where the search did, one of orders of magnitude shows these, and the one of the score has the better end on
    top. The best trial lies above all. A line passes below the axis of a parameter that its trial had not. Of more than
    twelve parameters those are drawn that most trials had. ``learner``: of several the trials of this one alone.

    Raises: DataError where no trial of the space was finished; ParameterError for another learner; UnknownNameError;
    MissingExtraError.

    >>> import onnxlearn as ol
    >>> learner = ol.learner("linear", max_epochs=1, seed=0)
    >>> found = ol.tune(ol.example_task("iris"), learner, {"lr": ol.Range(1e-3, 1.0)}, ol.Holdout(), budget=3)
    >>> [label.get_text() for label in ol.plots.parallel_coordinates(found).get_xticklabels()]
    ['lr', 'logloss']
    """
    done = finished(found, "a plot of parallel coordinates")
    by = one_measure(found, measure)
    if learner is not None and learner not in found.space.entries:
        raise UnknownNameError.of("learner of the search", learner, found.space.entries)
    own = [trial for trial in done if learner in (None, trial.learner)]
    trials = sorted(require_drawn(own, "a plot of parallel coordinates"), key=lambda trial: -cost(trial, by))
    known = [each for each in drawn_parameters(found, trials) if learner in (None, each.learner)]
    shown = _commonest(known, trials)
    ax = axes(ax, width=1.4 + APART * len(shown), height=3.8)
    values = scores(trials, by)
    worst, best, log = values[0], values[-1], needs_log(values, by)
    for i, each in enumerate(shown):
        _draw_axis(ax, i, [(each.share(place), text) for place, text in each.ticks])
    told = ticks(min(worst, best), max(worst, best), log=log)
    _draw_axis(ax, len(shown), [(share(value, worst, best, log=log), text) for value, text in told])
    for i, (trial, value) in enumerate(zip(trials, values, strict=True)):
        line = [BELOW if (place := each.place(trial)) is None else each.share(place) for each in shown]
        _draw_line(ax, [*line, share(value, worst, best, log=log)], _strength(i, len(trials)), is_best=trial is trials[-1])
    _name_axes(ax, [*(each.param if learner is not None else each.name for each in shown), by.name])
    ax.set_xlabel(_notes(known, shown, trials))
    return ax


def _commonest(params: Sequence[Parameter], trials: Sequence[Trial]) -> list[Parameter]:
    """In the order of the space, those that most trials have."""
    counts = [sum(each.place(trial) is not None for trial in trials) for each in params]
    kept = sorted(range(len(params)), key=lambda i: -counts[i])[:MOST_AXES]
    return [params[i] for i in sorted(kept)]


def _notes(known: Sequence[Parameter], shown: Sequence[Parameter], trials: Sequence[Trial]) -> str:
    notes = ["the orange line is the best trial"]
    if any(each.place(trial) is None for each in shown for trial in trials):
        notes.append("below an axis pass trials without the parameter")
    if len(shown) < len(known):
        notes.append(f"the {len(shown)} of {len(known)} parameters that most trials had")
    return "; ".join(notes)


def _draw_axis(ax: Axes, i: int, places: Sequence[tuple[float, str]]) -> None:
    ax.vlines(i, 0, 1, color=FAINT, linewidth=1, zorder=1)
    for height, text in places:
        ax.plot([i - 0.03, i], [height, height], color=FAINT, linewidth=1, zorder=1)
        ax.annotate(
            text, (i, height), (-4, 0), textcoords="offset points", ha="right", va="center", fontsize=8, color=INK, zorder=5
        )  # fmt: skip


def _strength(i: int, n: int) -> float:
    """How strongly the i-th of n lines is drawn, from the worst to the best: of many the worse ones hardly.

    >>> _strength(0, 10), round(_strength(8, 10), 2), round(_strength(298, 300), 2), round(_strength(150, 300), 2)
    (0.1, 0.48, 0.66, 0.03)
    """
    faintest = min(0.1, 8 / n)
    return faintest + (0.7 - faintest) * math.pow(i / n, max(2.0, n / 30))


def _draw_line(ax: Axes, heights: Sequence[float], strength: float, *, is_best: bool) -> None:
    if is_best:
        ax.plot(heights, color=COLOURS[1], linewidth=2.4, zorder=4)
    else:
        ax.plot(heights, color=COLOURS[0], linewidth=1.2, alpha=strength, zorder=2 + strength)


def _name_axes(ax: Axes, names: Sequence[str]) -> None:
    long = max(map(len, names)) > 11
    ax.set_xticks(
        range(len(names)), [drawn(name) for name in names], rotation=20 if long else 0, ha="left" if long else "center"
    )
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.set_yticks([])
    ax.set(xlim=(-0.55, len(names) - 0.8), ylim=(BELOW - 0.04, 1.03))
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.grid(visible=False)
