"""Figures without pyplot: no global state, no window, the same file from the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import MissingExtraError, OutputError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008), "Color universal design": told apart with any colour vision; yellow left out, too faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SUFFIXES = ("svg", "png", "pdf")


def axes_for(ax: Axes | None, *, size: tuple[float, float] = (6.4, 4.0)) -> Axes:
    """The given axes, or those of a new figure of this size in inches.

    Raises: MissingExtraError.
    """
    if ax is not None:
        return ax
    require_matplotlib()
    from matplotlib.figure import Figure

    new: Axes = Figure(figsize=size, layout="constrained").subplots()
    return new


def require_matplotlib() -> None:
    """Raise ``MissingExtraError`` where there is no matplotlib."""
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of("matplotlib", "report", "a plot") from error


def shortened(name: str, most: int = 40) -> str:
    """A name that fits beside a plot.

    >>> shortened("a very long name", 8)
    'a very …'
    """
    return name if len(name) <= most else f"{name[: most - 1]}…"


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
