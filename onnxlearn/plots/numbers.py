"""Plots of predicted numbers: residuals, and predictions against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxlearn.errors import ParameterError, listing
from onnxlearn.plots.canvas import COLOURS, FAINT, Array, axes, plain, span, thin
from onnxlearn.plots.series import Series, Source, one_series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POINTS = 1000


def residuals(source: Source, *, target: str | None = None, max_points: int = MAX_POINTS, ax: Axes | None = None) -> Axes:
    """Residuals of one learner, truth minus prediction, against the prediction, over all iterations.

    ``target``: which one, where several are predicted. Of more than ``max_points`` rows every k-th is drawn; the axis says so.

    Raises: DataError for classification or without truth; ParameterError for several tasks or learners; MissingExtraError.

    >>> import onnxlearn as ol
    >>> task = ol.example_task("diabetes")
    >>> ol.plots.residuals(ol.learner("featureless").fit(task).predict(task)).get_ylabel()
    'truth minus prediction'
    """
    series = one_series(source, "regression", "a residual plot")
    name, truth, response, _ = _values(series, target)
    ax = axes(ax, height=3.6)
    every = thin(len(truth), max_points)
    _points(ax, response[every], (truth - response)[every])
    ax.axhline(0, color=FAINT, linewidth=1)
    ax.set_xlabel(plain(f"predicted {name}{_drawn(truth, every)}"))
    ax.set_ylabel("truth minus prediction")
    return ax


def prediction_truth(
    source: Source, *, target: str | None = None, max_points: int = MAX_POINTS, ax: Axes | None = None
) -> Axes:
    """Predictions of one learner against the truth, over all iterations; on the diagonal they are right.

    Intervals (``lower``, ``upper``) are drawn as lines where the model gives them. Further arguments and errors as in
    :func:`residuals`.

    >>> import onnxlearn as ol
    >>> task = ol.example_task("diabetes")
    >>> ol.plots.prediction_truth(ol.learner("featureless").fit(task).predict(task)).get_xlabel()
    'true progression'
    """
    series = one_series(source, "regression", "a plot of predictions against truth")
    name, truth, response, intervals = _values(series, target)
    ax = axes(ax, height=4.4)
    every = thin(len(truth), max_points)
    low, high = span([truth, response])
    ax.plot([low, high], [low, high], color=FAINT, linewidth=1)
    if intervals is not None:
        ax.vlines(truth[every], *intervals[:, every], color=COLOURS[0], alpha=0.18, linewidth=1)
    _points(ax, truth[every], response[every])
    ax.set_xlabel(plain(f"true {name}{_drawn(truth, every)}"))
    ax.set_ylabel(plain(f"predicted {name}"))
    return ax


def _values(series: Series, target: str | None) -> tuple[str, Array, Array, Array | None]:
    """Of the target its name, truths and predictions ``[N]``, and where there are intervals their ends ``[2, N]``."""
    names = series.target.names
    if target is None and len(names) > 1:
        raise ParameterError(f"this is of one target, and there are {listing(names)}: target={names[0]!r}")
    if target is not None and target not in names:
        raise ParameterError(f"target is one of {listing(names)}, not {target!r}")
    i = 0 if target is None else names.index(target)
    truth, response = (np.concatenate([getattr(o, field)[:, i] for o in series.outcomes]) for field in ("truth", "response"))
    if any(outcome.lower is None or outcome.upper is None for outcome in series.outcomes):
        return names[i], truth, response, None
    ends = [np.stack([o.lower[:, i], o.upper[:, i]]) for o in series.outcomes if o.lower is not None and o.upper is not None]
    return names[i], truth, response, np.concatenate(ends, axis=1)


def _points(ax: Axes, x: Array, y: Array) -> None:
    ax.plot(x, y, "o", color=COLOURS[0], markersize=3.5, markeredgewidth=0, alpha=0.9 if len(x) < 50 else 0.45)


def _drawn(rows: Array, every: slice) -> str:
    """What is left out, for the axis."""
    return "" if every.step == 1 else f" (one of {every.step} of {len(rows):,} rows)"
