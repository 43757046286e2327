"""Partial dependence as a picture: curves over one column, a surface over two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.errors import ParameterError, listing
from onnxlearn.inspection.grid import Grid
from onnxlearn.measures import Array
from onnxlearn.plots.canvas import COLOURS, MARKERS, axes, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from onnxlearn.inspection.dependence import Dependence

MAX_CURVES = 100
MAX_TICKS = 24


def draw_curves(found: Dependence, ax: Axes | None) -> Axes:
    """A line for each output over the values of one column. Raises: MissingExtraError."""
    ax = axes(ax, width=6.4, height=4.0)
    (grid,) = found.grids
    # Missing has a place among levels, and none among numbers.
    shown = [i for i, value in enumerate(grid.shown) if value is not None or not grid.is_continuous]
    at: Any = [grid.shown[i] for i in shown] if grid.is_continuous else list(range(len(shown)))
    line = "-" if grid.is_continuous or grid.column.kind == "ordered" else ""
    for c, output in enumerate(found.outputs):
        color, marker = COLOURS[c % len(COLOURS)], MARKERS[c % len(MARKERS)]
        if found.individual is not None:
            _draw_rows(ax, at, found.individual[:, shown, c], color, alone=found.average is None)
        if found.average is not None:
            label = drawn(str(output))
            ax.plot(at, found.average[shown, c], color=color, marker=marker, linestyle=line, markersize=5, label=label)
            if len(shown) < len(grid):
                ax.axhline(float(found.average[grid.shown.index(None), c]), color=color, linestyle=":", linewidth=1.2)
    _finish(ax, found, with_missing=len(shown) < len(grid) and found.average is not None)
    if not grid.is_continuous:
        _label_places(ax, [_text(grid.shown[i]) for i in shown])
    return ax


def _draw_rows(ax: Axes, at: Any, curves: Array, color: str, *, alone: bool) -> None:
    # Evenly among the rows: more lines than these make a blot.
    some = curves[np.unique(np.linspace(0, len(curves) - 1, MAX_CURVES).astype(int))]
    ax.plot(at, some.T, color=color, alpha=0.35 if alone else 0.15, linewidth=0.7, zorder=1)


def _finish(ax: Axes, found: Dependence, *, with_missing: bool) -> None:
    ax.set_xlabel(drawn(found.columns[0], 60))
    ax.set_ylabel(_value_name(found))
    if found.target.type == "classification":
        ax.set_ylim(bottom=0)
    if with_missing:
        ax.plot([], [], color="0.35", linestyle=":", linewidth=1.2, label="where missing")
    if len(ax.get_legend_handles_labels()[0]) > 1:
        # Beside the curves: inside, there is no place that is always free.
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _value_name(found: Dependence) -> str:
    mean = "mean " if found.average is not None else ""
    if found.target.type == "regression":
        return f"{mean}prediction" + (f" of {drawn(found.target.name)}" if len(found.outputs) == 1 else "")
    one = f"{found.target.name} = {found.outputs[0]}" if len(found.outputs) == 1 else found.target.name
    return f"{mean}probability of {drawn(one)}"


def draw_surface(found: Dependence, ax: Axes | None) -> Axes:
    """Averages over two columns as colours, with their values at the edges. Raises: ParameterError, MissingExtraError."""
    if len(found.outputs) > 1:
        raise ParameterError(f"a surface shows one class or target, not {listing(found.outputs)}: choose by of=[...] (--of)")
    assert found.average is not None, "two columns have averages alone"
    ax = axes(ax, width=6.4, height=4.8)
    first, second = found.grids
    # By position, not by value: the quantiles of a skewed column would leave most of the picture to a few cells.
    mesh = ax.pcolormesh(found.average[:, :, 0].T, cmap="cividis")
    _label_cells(ax.xaxis, first)
    _label_cells(ax.yaxis, second)
    ax.tick_params(axis="x", rotation=45)
    ax.set_xlabel(drawn(first.column.name, 60))
    ax.set_ylabel(drawn(second.column.name))
    figure: Any = ax.get_figure(root=True)
    figure.colorbar(mesh, ax=ax, label=_value_name(found))
    return ax


def _label_cells(axis: Any, grid: Grid) -> None:
    step = -(-len(grid) // 10)
    at = np.arange(0, len(grid), step) if grid.is_continuous else np.arange(min(len(grid), MAX_TICKS))
    if grid.shown[-1] is None and len(grid) - 1 not in at:
        at = np.append(at[:-1], len(grid) - 1)
    axis.set_ticks(at + 0.5, [_text(grid.shown[i]) for i in at])


def _label_places(ax: Axes, texts: Sequence[str]) -> None:
    shown = list(range(0, len(texts), -(-len(texts) // MAX_TICKS)))
    long = sum(len(texts[i]) for i in shown) > 50
    ax.set_xticks(shown, [drawn(texts[i], 20) for i in shown], rotation=45 if long else 0, ha="right" if long else "center")
    ax.set_xlim(-0.5, len(texts) - 0.5)


def _text(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[D]"))
    return f"{value:.4g}" if isinstance(value, float) else drawn(str(value), 20)
