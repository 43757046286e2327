"""Plots as files: the same bytes from the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import OutputError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = ("svg", "png", "pdf")


def figure_suffix(path: str | Path) -> str:
    """The format of a figure's file by its name.

    Raises: OutputError for another suffix.

    >>> figure_suffix("plots/Importance.SVG")
    'svg'
    """
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in SUFFIXES:
        known = ", ".join(f".{one}" for one in SUFFIXES)
        raise OutputError(f"cannot draw {str(path)!r}: a plot is one of {known}.{did_you_mean(suffix, SUFFIXES)}")
    return suffix


def save_figure(ax: Axes, path: Path, suffix: str) -> None:
    """Write the figure of these axes to a path, in the format of ``suffix`` (:func:`figure_suffix`), without date."""
    import matplotlib as mpl

    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[suffix]
    figure: Any = ax.get_figure(root=True)
    with mpl.rc_context({"svg.hashsalt": "onnxlearn"}):
        figure.savefig(path, format=suffix, metadata=metadata, dpi=150)
