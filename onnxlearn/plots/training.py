"""Learning curves, and ranges of learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.errors import DataError, ParameterError, listing
from onnxlearn.experiments.record import Record
from onnxlearn.experiments.results import Results
from onnxlearn.model import Model
from onnxlearn.plots.canvas import COLOURS, FAINT, Array, axes, legend, line_style, span
from onnxlearn.plots.series import by_learner, require_one

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from onnxlearn.lr_range import LRRange

_SHOWN = {"train": "training rows", "valid": "validation rows"}
MAX_EPOCHS = 120
# Epochs that are all marked: along a line that has no length there would be no mark.
FEW = 5


def learning_curves(result: Results | Model, *, measure: str = "loss", ax: Axes | None = None) -> Axes:
    """Loss of one learner by epoch, on training and on validation rows: the training loop's own values, not the file's.

    ``result``: of a Model the curves of its training, with a line at the epoch whose weights were kept. Iterations, and the
    networks of a file that averages several, stand faintly behind their mean, which ends with the epoch that the first of them
    ended with. ``measure``: what else the history has, such as the learner's ``measures``, by its name.

    Raises: DataError where the learner keeps no curves, or histories were not kept; ParameterError for several tasks or
    learners, and for a measure that no history has; MissingExtraError.

    >>> import onnxlearn as ol
    >>> result = ol.resample(ol.example_task("iris"), ol.learner("linear", max_epochs=3), ol.CV(2))
    >>> ol.plots.learning_curves(result).get_xlabel()
    "epoch (the training loop's own values)"
    """
    name, histories = _histories(result)
    if not histories:
        raise DataError(f"learner {name!r} has no learning curves: it keeps none, or the result was made with histories=False")
    own, ax = ax is None, axes(ax, height=3.2)
    handles, names = [], []
    for i, (rows, title) in enumerate(_SHOWN.items()):
        curves = [_curve(history, f"{rows}_{measure}") for history in histories if f"{rows}_{measure}" in history]
        if curves:
            handles += _draw(ax, curves, i)
            names.append(title)
    if not handles:
        raise ParameterError(f"no history has {measure!r}; there are {listing(_measures(histories))}")
    if isinstance(result, Model) and (kept := result.metadata["training"].get("best_epoch")):
        handles.append(ax.axvline(kept, color=FAINT, linestyle=":", linewidth=1.4, zorder=1))
        names.append(f"epoch {kept}, which was kept")
    ax.set_xlabel("epoch (the training loop's own values)")
    ax.set_ylabel(measure)
    # Of one epoch matplotlib would show fractions.
    n_epochs = max(len(history["train_loss"]) for history in histories)
    ax.set_xlim(*((0.5, n_epochs + 0.5) if n_epochs < 3 else ax.get_xlim()))
    ax.locator_params(axis="x", integer=True, min_n_ticks=1)
    legend(ax, handles, names, grow=own)
    return ax


def _measures(histories: Sequence[Mapping[str, Sequence[Any]]]) -> list[str]:
    """What the histories tell of rows, by name."""
    columns = dict.fromkeys(column.partition("_") for history in histories for column in history)
    return list(dict.fromkeys(name for rows, _, name in columns if rows in _SHOWN))


def _histories(result: Results | Model) -> tuple[str, list[Mapping[str, Sequence[Any]]]]:
    """The learner, and what the loop noted of each training."""
    if isinstance(result, Model):
        training = result.metadata["training"]
        found = [each.get("history", {}) for each in training.get("members", [training])]
        return result.metadata["learner"]["name"], [history for history in found if history.get("train_loss")]
    groups = by_learner(result, "a learning curve")
    require_one("learner", list(groups), "a learning curve")
    name, records = next(iter(groups.items()))
    return name, [record.history for record in records if has_curves(record)]


def draw_lr_range(found: LRRange, ax: Axes | None = None) -> Axes:
    """Losses by learning rate, faint as they are and smoothed, and a line at the suggestion. Raises: MissingExtraError."""
    own, ax = ax is None, axes(ax, height=3.2)
    handles = [
        *ax.plot(found.lrs, found.losses, color=COLOURS[0], alpha=0.35, linewidth=0.9),
        *ax.plot(found.lrs, found.smoothed, color=COLOURS[0], linewidth=1.8),
    ]
    names = ["loss of a batch", "running mean"]
    if found.suggestion is not None:
        handles.append(ax.axvline(found.suggestion, color=COLOURS[1], linestyle="--", linewidth=1.4))
        names.append(f"suggestion {found.suggestion:g}")
    ax.set_xscale("log")
    ax.set_xlabel("learning rate")
    ax.set_ylabel("training loss after a step")
    # Single batches may explode long before the mean does.
    ax.set_ylim(span([np.array([found.losses.min(), found.smoothed.max()])]))
    legend(ax, handles, names, grow=own)
    return ax


def has_curves(record: Record) -> bool:
    """Whether the iteration kept a loss by epoch."""
    return bool(record.history.get("train_loss"))


def _curve(history: Mapping[str, Sequence[Any]], column: str) -> tuple[Array, Array]:
    values = np.array(history[column], np.float64)
    return np.array(history.get("epoch", range(1, len(values) + 1))), values


def _draw(ax: Axes, curves: Sequence[tuple[Array, Array]], i: int) -> list[Any]:
    style = line_style(i)
    if min(len(values) for _, values in curves) < FEW:
        style["markevery"] = None
    for epochs, values in curves if len(curves) > 1 else ():
        every = slice(None, None, -(-len(values) // (MAX_EPOCHS // 2)))
        ax.plot(epochs[every], values[every], color=style["color"], alpha=0.28, linewidth=0.8)
    shortest = min(len(values) for _, values in curves)
    mean = np.mean([values[:shortest] for _, values in curves], axis=0)
    every = slice(None, None, -(-shortest // MAX_EPOCHS))
    return list(ax.plot(curves[0][0][:shortest][every], mean[every], zorder=3, **style))
