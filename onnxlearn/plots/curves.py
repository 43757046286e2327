"""ROC and precision-recall curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from onnxlearn.card import number
from onnxlearn.errors import DataError, MissingExtraError, ParameterError, listing
from onnxlearn.measures import Outcome
from onnxlearn.measures.ranking import area, average_precision
from onnxlearn.plots.canvas import FAINT, Array, axes, legend, line_style, plain, short_names
from onnxlearn.plots.series import Series, Source, series_of, titles
from onnxlearn.schema import Target

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve: TypeAlias = tuple[Array, Array]

# What a curve is computed with, drawn with, and drawn with faintly: more points cannot be told apart on a page.
EXACT, DRAWN, FAINTLY = 4000, 160, 50
# With more learners the single iterations would hide the means; with more classes the names would not fit.
FAINT_LEARNERS, NAMED_CLASSES = 3, 12


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of curve. ``curve`` and ``area`` are of truths, scores and weights ``[N]``; ``mean`` is of several curves."""

    title: str
    measure: str
    x: str
    y: str
    curve: Callable[[Array, Array, Array], Curve]
    area: Callable[[Array, Array, Array], float]
    mean: Callable[[Sequence[Curve]], Curve]
    style: str


def roc(source: Source, *, label: Any = None, ax: Axes | None = None) -> Axes:
    """ROC curves: the share of a class's rows that are found, against the share of the others that are taken for it.

    One curve for each learner: the mean over its iterations, upwards at each share (Fawcett 2006, "An introduction to ROC
    analysis", section 8.3), so that the area under it is the mean of their areas, the ``auc`` in the legend. The single
    iterations stand faintly behind where there are at most three learners.

    Of two classes the positive one is drawn. Of more the mean of each against the rest and, where there is one learner, each
    of them too; ``label`` draws one class against the rest instead. Row weights count.

    Raises: DataError for regression, without truth, or where no iteration has rows both of the class and of others;
    ParameterError for several tasks or an unknown class; MissingExtraError.

    >>> import onnxlearn as ol
    >>> task = ol.example_task("iris")
    >>> axes = ol.plots.roc(ol.learner("linear", max_epochs=2, seed=0).fit(task).predict(task))
    >>> [text.get_text().partition("auc")[0] for text in axes.get_legend().get_texts()]
    ['(mean ', 'setosa (', 'versicolor (', 'virginica (']
    """
    ax = _draw(_ROC, source, label, ax)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    return ax


def precision_recall(source: Source, *, label: Any = None, ax: Axes | None = None) -> Axes:
    """Precision-recall curves: the share of right ones among the rows taken for a class, against the share of it that is found.

    As :func:`roc`, with ``prauc`` (average precision) in the legend. The curves are steps: Davis and Goadrich (2006), "The
    relationship between precision-recall and ROC curves", section 4, on why their points are not joined by straight lines.

    Raises: as :func:`roc`.

    >>> import onnxlearn as ol
    >>> task = ol.example_task("breast_cancer")
    >>> axes = ol.plots.precision_recall(ol.learner("linear", max_epochs=2, seed=0).fit(task).predict(task))
    >>> axes.get_ylabel()
    "precision of 'malignant'"
    """
    return _draw(_PR, source, label, ax)


def _draw(kind: Kind, source: Source, label: Any, ax: Axes | None) -> Axes:
    several = series_of(source, "classification", kind.title)
    target = several[0].target
    codes = _codes(target, label)
    curves = [_curves(kind, series, codes) for series in several]
    own, ax = ax is None, axes(ax, height=3.8)
    handles = []
    names = titles(several, [_score(kind, series, codes) for series in several])
    for i in range(len(several)):
        for curve in curves[i] if len(several) <= FAINT_LEARNERS else ():
            ax.plot(*simplified(curve, FAINTLY), drawstyle=kind.style, color=line_style(i)["color"], alpha=0.2, linewidth=0.8)
        handles += _line(ax, kind, curves[i], i)
    if len(several) == 1 and 1 < len(codes) <= NAMED_CLASSES:
        for i, code in enumerate(codes, 1):
            handles += _line(ax, kind, _curves(kind, several[0], [code], required=False), i)
            names += short_names([str(target.classes[code])])
            names[-1] += f" ({_score(kind, several[0], [code])})"
    of = repr(target.classes[codes[0]]) if len(codes) == 1 else "each class (mean)"
    ax.set(xlabel=plain(kind.x.format(of)), ylabel=plain(kind.y.format(of)), xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    legend(ax, handles, names, grow=own)
    return ax


def _line(ax: Axes, kind: Kind, curves: Sequence[Curve], i: int) -> list[Any]:
    """The mean curve in the i-th style; none of none."""
    x, y = simplified(kind.mean(curves), DRAWN) if curves else (np.empty(0), np.empty(0))
    return list(ax.plot(x, y, drawstyle=kind.style, zorder=3, **line_style(i)))


def _codes(target: Target, label: Any) -> list[int]:
    """The classes to draw, as positions."""
    if label is None:
        return list(range(len(target.classes))) if target.positive is None else [target.classes.index(target.positive)]
    if label not in target.classes:
        raise ParameterError(f"label is one of the classes {listing(target.classes)}, not {label!r}")
    return [target.classes.index(label)]


def _curves(kind: Kind, series: Series, codes: Sequence[int], *, required: bool = True) -> list[Curve]:
    """Of every iteration and class the curve, where the rows define it."""
    parts = [_parts(outcome, code, kind) for outcome in series.outcomes for code in codes]
    found = [kind.curve(*part) for part in parts if 0 < part[2][part[0]].sum() < part[2].sum()]
    if required and not found:
        raise DataError(f"{kind.title} needs rows of a class and of others, and no iteration has both: take larger test sets")
    return [simplified(curve, EXACT) for curve in found]


def _parts(outcome: Outcome, code: int, kind: Kind) -> tuple[Array, Array, Array]:
    """Whether each row is of the class, its probability and its weight."""
    if outcome.prob is None:
        raise DataError(f"{kind.title} needs probabilities, and the prediction has none: choose another plot")
    return outcome.truth == code, outcome.prob[:, code], outcome.weights


def _score(kind: Kind, series: Series, codes: Sequence[int]) -> str:
    """The measure: the mean over iterations of the mean over classes, as results aggregate it."""
    values = [np.mean([kind.area(*_parts(outcome, code, kind)) for code in codes]) for outcome in series.outcomes]
    return f"{'mean ' if len(codes) > 1 else ''}{kind.measure} {number(float(np.mean(values)))}"


def simplified(curve: Curve, limit: int) -> Curve:
    """At most ``limit`` points of a curve within the unit square, evenly along its length: off by less than can be seen."""
    x, y = curve
    if len(x) <= limit:
        return curve
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], limit)).clip(max=len(x) - 1))
    return x[kept], y[kept]


def mean_of_lines(curves: Sequence[Curve]) -> Curve:
    """The mean upwards of curves of straight lines, which may jump: the area under it is the mean of their areas.

    >>> jump, line = (np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0])), (np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    >>> [array.tolist() for array in mean_of_lines([jump, line])]
    [[0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 1.0, 1.0]]
    """
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    before, after = np.mean([_limits(x, y, grid) for x, y in curves], axis=0)
    return np.repeat(grid, 2), np.stack([before, after], axis=1).ravel()


def _limits(x: Array, y: Array, grid: Array) -> tuple[Array, Array]:
    """Values just before and just after each place; they differ where the curve jumps."""
    first, last = np.searchsorted(x, grid, "left"), np.searchsorted(x, grid, "right") - 1
    on_it, between = x[last] == grid, np.interp(grid, x, y)
    return np.where(on_it, y[first.clip(max=len(x) - 1)], between), np.where(on_it, y[last], between)


def mean_of_steps(curves: Sequence[Curve]) -> Curve:
    """The mean upwards of curves of steps, each value holding from the place before up to its own."""
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    return grid, np.mean([y[np.searchsorted(x, grid, "left")] for x, y in curves], axis=0)


def _roc_curve(truth: Array, scores: Array, weights: Array) -> Curve:
    x, y, _ = _sklearn().roc_curve(truth, scores, sample_weight=weights)
    return x, y


def _pr_curve(truth: Array, scores: Array, weights: Array) -> Curve:
    precision, recall, _ = _sklearn().precision_recall_curve(truth, scores, sample_weight=weights)
    # The first row that reaches a share is the one whose precision counts for it.
    x, first = np.unique(recall[::-1], return_index=True)
    return x, precision[::-1][first]


def _sklearn() -> Any:
    try:
        import sklearn.metrics
    except ImportError as error:
        raise MissingExtraError.of("scikit-learn", "report", "a curve") from error
    return sklearn.metrics


_ROC = Kind(
    title="a ROC curve",
    measure="auc",
    x="share of the others taken for {}",
    y="share found of {}",
    curve=_roc_curve,
    area=area,
    mean=mean_of_lines,
    style="default",
)
_PR = Kind(
    title="a precision-recall curve",
    measure="prauc",
    x="recall of {}",
    y="precision of {}",
    curve=_pr_curve,
    area=average_precision,
    mean=mean_of_steps,
    style="steps-pre",
)
