"""Plots of scores: how they spread over iterations, and how learners rank over tasks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from onnxlearn.errors import DataError
from onnxlearn.experiments.results import Results
from onnxlearn.measures import Measure
from onnxlearn.plots.canvas import COLOURS, FAINT, INK, Array, axes, plain, short_names
from onnxlearn.plots.series import by_learner, shortfall
from onnxlearn.statistics import nemenyi

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from onnxlearn.statistics import Posthoc

_UNITS = {"time_train": "seconds", "time_predict": "seconds", "time_both": "seconds", "file_size": "bytes"}


def box(result: Results, measure: str | Measure, *, ax: Axes | None = None) -> Axes:
    """A box for each learner on one task: median, quartiles and range of a measure over the iterations, and each of them.

    Whiskers reach to the farthest iteration within 1.5 times the box's width (Tukey 1977, "Exploratory data analysis",
    section 2D). Iterations whose score is undefined, such as failed ones, are not drawn; the learner's name says how many
    failed. A measure that was not computed with the result is computed from its predictions.

    Raises: DataError where no score is defined; ParameterError for several tasks; UnknownNameError; MissingExtraError.

    >>> import onnxlearn as ol
    >>> learners = [ol.learner("featureless"), ol.learner("linear", max_epochs=2)]
    >>> result = ol.benchmark(ol.example_task("iris"), learners, ol.CV(3), "acc")
    >>> ol.plots.box(result, "acc").get_xlabel()
    'acc (larger is better)'
    """
    groups = by_learner(result, "a box plot")
    name = measure if isinstance(measure, str) else measure.name
    table = result.scores if name in result.measures else result.score(measure)
    values = {learner: _defined(table.loc[table["learner"] == learner, name].to_numpy(np.float64)) for learner in groups}
    if not any(len(each) for each in values.values()):
        raise DataError(f"no iteration has a {name}: all failed, or the rows do not define it")
    ax = axes(ax, height=1.1 + 0.34 * len(groups))
    positions = range(len(groups))
    ax.boxplot(
        list(values.values()), positions=positions, orientation="horizontal", widths=0.55, showfliers=False,
        boxprops={"color": FAINT}, whiskerprops={"color": FAINT}, capprops={"color": FAINT},
        medianprops={"color": COLOURS[1], "linewidth": 2},
    )  # fmt: skip
    for position, each in zip(positions, values.values(), strict=True):
        ax.plot(each, _apart(each, position), "o", color=COLOURS[0], markersize=4.5, alpha=0.75, markeredgewidth=0)
    notes = [shortfall(records) for records in groups.values()]
    shown = zip(short_names(list(groups)), notes, strict=True)
    ax.set_yticks(positions, [plain(f"{short}\n({note})" if note else short) for short, note in shown])
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(plain(measure_label(result.find_measure(name) if isinstance(measure, str) else measure, name)))
    return ax


def _defined(values: Array) -> Array:
    return np.asarray(values[np.isfinite(values)])


def _apart(values: Array, position: int) -> Array:
    """Heights at which equal values do not hide each other."""
    heights = np.full(len(values), float(position))
    for value in np.unique(values):
        same = np.flatnonzero(values == value)
        heights[same] += 0.11 * (np.arange(len(same)) - (len(same) - 1) / 2) * min(1, 4 / len(same))
    return heights


def measure_label(measure: Measure | None, name: str) -> str:
    """The measure with its unit and its better end, as far as they are known.

    >>> from onnxlearn import measures
    >>> measure_label(measures.get("time_train"), "time_train")
    'time_train in seconds (smaller is better)'
    """
    unit = f" in {_UNITS[name]}" if name in _UNITS else ""
    return f"{name}{unit}" + (f" ({measure.better} is better)" if measure is not None else "")


def critical_difference(result: Results, measure: str, *, alpha: float = 0.05, ax: Axes | None = None) -> Axes:
    """The critical-difference diagram: learners by their mean ranks over tasks, those that do not differ joined by bars.

    Demšar (2006), "Statistical comparisons of classifiers over multiple data sets", Journal of Machine Learning Research 7,
    section 3.2.2, by Nemenyi's test at the level ``alpha`` (:func:`onnxlearn.statistics.nemenyi`).

    Raises: DataError for fewer than three learners or two tasks, or a score that is missing; MissingExtraError.

    >>> import onnxlearn as ol
    >>> tasks = [ol.example_task("iris"), ol.example_task("wine")]
    >>> learners = {f"linear{n}": ol.learner("linear", max_epochs=n) for n in (1, 2, 3)}
    >>> axes = ol.plots.critical_difference(ol.benchmark(tasks, learners, ol.Holdout(), "acc"), "acc")
    >>> axes.get_xlabel()
    'mean rank by acc over 2 tasks (1 is the best)'
    """
    found = nemenyi(result.statistics(measure), alpha=alpha)
    n = len(found.learners)
    half = math.ceil(n / 2)
    ax = axes(ax, height=1.5 + 0.24 * (half + len(found.groups) * 0.5))
    ax.grid(visible=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_yticks([])
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set_xlabel(plain(f"mean rank by {measure} over {found.n_tasks} tasks (1 is the best)"))
    ax.locator_params(axis="x", integer=True, nbins=8)
    depth = 0.55 + 0.4 * len(found.groups)
    ax.set_xlim(1 - 0.04 * (n - 1), n + 0.04 * (n - 1))
    ax.set_ylim(depth + half + 0.2, -1.4)
    ax.hlines(0, 1, n, color=INK, linewidth=1)
    _draw_width(ax, found, n)
    for level, group in enumerate(found.groups):
        ranks = [found.mean_ranks[found.learners.index(learner)] for learner in group]
        pad = 0.012 * (n - 1)
        ax.hlines(0.4 + 0.4 * level, min(ranks) - pad, max(ranks) + pad, color=COLOURS[1], linewidth=3.5)
    _draw_names(ax, found, depth, half)
    return ax


def _draw_width(ax: Axes, found: Posthoc, n: int) -> None:
    """The critical difference as a bar above the axis, cut off where it is wider than that."""
    width = min(found.critical_difference, n - 1)
    ax.errorbar(1 + width / 2, -0.75, xerr=width / 2, color=INK, capsize=3, linewidth=1)
    beyond = ", more than all ranks" if found.critical_difference > n - 1 else ""
    text = f"critical difference {found.critical_difference:.3g}{beyond}"
    ax.text(1, -1.0, text, fontsize=8.5, color=INK, va="bottom")


def _draw_names(ax: Axes, found: Posthoc, depth: float, half: int) -> None:
    """The better half of the names left, the others right, each with a line to its rank."""
    n = len(found.learners)
    for i, (name, rank) in enumerate(zip(short_names(found.learners, 16), found.mean_ranks, strict=True)):
        left = i < half
        height = depth + (i if left else n - 1 - i) + 0.3
        edge = 1 if left else n
        ax.plot([rank, rank, edge], [0, height, height], color=FAINT, linewidth=0.9)
        ax.plot(rank, 0, "o", color=COLOURS[0], markersize=5)
        ax.annotate(
            plain(f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"), (edge, height), (-4 if left else 4, 0),
            textcoords="offset points", ha="right" if left else "left", va="center", fontsize=8.5, color=INK,
        )  # fmt: skip
