"""Plots of predicted classes: calibration and confusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxlearn.card import number
from onnxlearn.errors import DataError
from onnxlearn.measures import Outcome
from onnxlearn.plots.canvas import COLOURS, FAINT, INK, Array, axes, legend, line_style, plain, short_names
from onnxlearn.plots.series import Series, Source, one_series, series_of, titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# With more classes, numbers in the cells would not be readable.
NUMBERED_CLASSES, NAMED_CLASSES = 12, 30


def calibration(source: Source, *, bins: int = 10, ax: Axes | None = None) -> Axes:
    """Reliability diagram: how often what was predicted with a probability is so, in ``bins`` bins of equal width.

    Of two classes the positive one's probability; of more the predicted class's, as in ``ece`` (Guo, Pleiss, Sun and Weinberger
    2017, "On calibration of modern neural networks", section 2). One curve for each learner, of the rows of all iterations
    together; points at the mean probability of their bin, the larger the more rows (by weight). On the diagonal probabilities
    are right.

    Raises: DataError for regression or without truth; ParameterError for several tasks; MissingExtraError.

    >>> import onnxlearn as ol
    >>> task = ol.example_task("iris")
    >>> ol.plots.calibration(ol.learner("linear", max_epochs=2, seed=0).fit(task).predict(task)).get_ylabel()
    'share of rows where it is right'
    """
    several = series_of(source, "classification", "a calibration curve")
    target = several[0].target
    own, ax = ax is None, axes(ax, height=3.8)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (2, 2)))
    handles = []
    for i, series in enumerate(several):
        mean, share, weight = _reliability(series, bins)
        style = line_style(i) | {"markevery": None}
        handles += ax.plot([], [], **style)
        ax.plot(mean, share, **style | {"marker": ""})
        sizes = {"s": 8 + 130 * weight, "marker": style["marker"], "color": style["color"]}
        ax.scatter(mean, share, alpha=0.8, linewidths=0, zorder=3, **sizes)
    two = target.positive is not None
    ax.set_xlabel(plain(f"predicted probability of {target.positive!r}" if two else "probability of the predicted class"))
    ax.set_ylabel(plain(f"share of rows that are {target.positive!r}" if two else "share of rows where it is right"))
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if several[0].name:
        legend(ax, handles, titles(several), grow=own)
    return ax


def _reliability(series: Series, bins: int) -> tuple[Array, Array, Array]:
    """Mean probability, share that is so and share of the weight, of each bin that has rows."""
    parts = [_claims(outcome) for outcome in series.outcomes]
    prob, true, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    # As the measure has them: a bin's upper end belongs to it.
    place = np.clip(np.ceil(prob * bins).astype(np.int64) - 1, 0, bins - 1)
    total, prob_sum, true_sum = (
        np.bincount(place, weights=weights * values, minlength=bins) for values in (np.ones(len(prob)), prob, true)
    )
    used = total > 0
    return prob_sum[used] / total[used], true_sum[used] / total[used], total[used] / total.sum()


def _claims(outcome: Outcome) -> tuple[Array, Array, Array]:
    """Of each row the probability of a class, whether it is of that class, and the weight."""
    if outcome.prob is None:
        raise DataError("a calibration curve needs probabilities, and the prediction has none")
    code = outcome.positive if outcome.positive is not None else outcome.response
    prob = outcome.prob[np.arange(len(outcome.truth)), code].astype(np.float64)
    return prob, outcome.truth == code, outcome.weights


def confusion(source: Source, *, ax: Axes | None = None) -> Axes:
    """Confusion matrix of one learner: how many rows of each true class were taken for which, over all iterations.

    The stronger a cell, the larger its share of the true class; the numbers are rows, or weights where rows have weights.

    Raises: DataError for regression or without truth; ParameterError for several tasks or learners; MissingExtraError.

    >>> import onnxlearn as ol
    >>> task = ol.example_task("iris")
    >>> axes = ol.plots.confusion(ol.learner("featureless").fit(task).predict(task))
    >>> [text.get_text() for text in axes.texts]
    ['50', '50', '50']
    """
    series = one_series(source, "classification", "a confusion matrix")
    counts = np.sum([outcome.confusion() for outcome in series.outcomes], axis=0)
    classes = series.target.classes
    n = len(classes)
    ax = axes(ax, width=4.2, height=4.0)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    for true, predicted in np.argwhere(counts > 0).tolist():
        text = number(counts[true, predicted]) if n <= NUMBERED_CLASSES else ""
        _draw_cell(ax, true, predicted, shares[true, predicted], text)
    ax.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), xlabel="predicted", ylabel="true")
    names = [plain(name) for name in short_names([str(label) for label in classes], 14)]
    every = slice(None, None, -(-n // NAMED_CLASSES))
    crowded = sum(map(len, names)) > 40
    ax.set_xticks(range(n)[every], names[every], rotation=90 if crowded else 0)
    ax.set_yticks(range(n)[every], names[every])
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.set_aspect("equal")
    return ax


def _draw_cell(ax: Axes, true: int, predicted: int, share: float, text: str) -> None:
    from matplotlib.patches import Rectangle

    # Never so dark that ink on it could not be read, in a light or a dark theme.
    place = (predicted - 0.48, true - 0.48)
    ax.add_patch(Rectangle(place, 0.96, 0.96, facecolor=COLOURS[0], alpha=0.08 + 0.42 * share, linewidth=0))
    if text:
        ax.text(predicted, true, text, ha="center", va="center", fontsize=9, color=INK)
