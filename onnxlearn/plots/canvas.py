"""What all plots share: figures without pyplot, colours, names that fit, legends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from onnxlearn.errors import MissingExtraError, ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

# After Okabe and Ito (2008), "Color universal design", darkened where a line on white would be too pale. Each is used once
# only for its role: a report finds them in the drawing by their values and puts those of its theme in their place.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b07d00", "#2f9fd0", "#5c6370")
INK, FAINT, GRID = "#24292f", "#8b949e", "#e4e7eb"
# Who cannot tell the colours apart has these.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")

WIDTH = 4.4
NAME_LENGTH = 28


def require_matplotlib() -> None:
    """Raise ``MissingExtraError`` where there is no matplotlib."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of("matplotlib", "plot", "a plot") from error


def new_figure(width: float = WIDTH, height: float = 3.6) -> Figure:
    """A figure in inches that pyplot does not know. Raises: MissingExtraError without matplotlib."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def axes(ax: Axes | None, *, width: float = WIDTH, height: float = 3.6) -> Axes:
    """The Axes to draw on: the one given, or that of a new figure; with a quiet grid and no box around it.

    Raises: MissingExtraError; ParameterError where something else was given.
    """
    if ax is None:
        ax = new_figure(width, height).subplots()
    if not hasattr(ax, "transAxes"):
        raise ParameterError(f"ax is a matplotlib Axes, not {type(ax).__name__}: ax=figure.subplots()")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(color=FAINT, labelcolor=INK, labelsize=9)
    ax.xaxis.label.set_color(INK)
    ax.yaxis.label.set_color(INK)
    ax.grid(color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def root_figure(ax: Axes) -> Figure:
    """The figure that an Axes stands in, at whatever depth."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def colour(i: int) -> str:
    """The colour of the i-th learner; they repeat after seven."""
    return COLOURS[i % len(COLOURS)]


def line_style(i: int) -> dict[str, Any]:
    """How the i-th learner's line is drawn: 28 differ without their colours."""
    step = 0.24
    return {
        "color": colour(i),
        "linestyle": LINES[i % len(LINES)],
        "marker": MARKERS[i % len(MARKERS)],
        "markersize": 4,
        # A few points along the line, elsewhere for each.
        "markevery": (0.03 + step * (i % 5) / 5, step),
        "linewidth": 1.6,
    }


def short_names(names: Sequence[str], length: int = NAME_LENGTH) -> list[str]:
    """Names as they are shown: one line, not longer than ``length``, still different from each other.

    What all learners of one name were given alike is left out.

    >>> short_names(["mlp", "linear(max_epochs=20, lr=0.01, weight_decay=0.1)"], 20)
    ['mlp', 'linear(m…_decay=0.1)']
    """
    shown: list[str] = []
    for name in _without_common(names):
        text = short_name(name, length)
        twice = sum(text == other or other.startswith(f"{text} #") for other in shown)
        shown.append(f"{text} #{twice + 1}" if twice else text)
    return shown


def _without_common(names: Sequence[str]) -> list[str]:
    """Names such as ``mlp(lr=0.1, seed=0)`` without what all of a learner have.

    >>> _without_common(["mlp(lr=0.1, seed=0)", "mlp(lr=0.2, seed=0)", "linear(seed=0)"])
    ['mlp(lr=0.1)', 'mlp(lr=0.2)', 'linear(seed=0)']
    """
    given: dict[str, list[list[str]]] = {}
    parts = [re.fullmatch(r"([^()]+)\((.+)\)", name) for name in names]
    for part in parts:
        if part:
            given.setdefault(part[1], []).append(part[2].split(", "))
    common = {head: set.intersection(*map(set, several)) if len(several) > 1 else set() for head, several in given.items()}
    shown = []
    for name, part in zip(names, parts, strict=True):
        kept = [each for each in part[2].split(", ") if each not in common[part[1]]] if part else []
        shown.append(f"{part[1]}({', '.join(kept)})" if part and kept else name)
    return shown


def short_name(name: str, length: int = NAME_LENGTH) -> str:
    """A name as it is shown: one line, not longer than ``length``.

    >>> short_name("a very long name", 9)
    'a ve…name'
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in name).split()) or repr(name)
    tail = (length - 1) * 11 // 19
    return text if len(text) <= length else f"{text[: length - 1 - tail]}…{text[-tail:]}"


def plain(text: str) -> str:
    r"""Text that is drawn as it stands: a dollar begins no formula, an underscore hides nothing from a legend.

    >>> print(plain("a$b$"))
    a\$b\$
    """
    # The space before the underscore has no width.
    return ("\u200b" if text.startswith("_") else "") + text.replace("$", r"\$")


def drawn(name: str, length: int = NAME_LENGTH) -> str:
    """A name as it is drawn, short and plain."""
    return plain(short_name(name, length))


def legend(ax: Axes, handles: Sequence[Any], names: Sequence[str], *, grow: bool) -> None:
    """Name what was drawn, below the axis and its label: there it hides nothing.

    ``grow``: make the figure higher by as much, so that the drawing keeps its size.
    """
    from matplotlib.transforms import ScaledTranslation

    below = ax.transAxes + ScaledTranslation(0, -40 / 72, root_figure(ax).dpi_scale_trans)
    labels = [plain(name) for name in names]
    # Two columns, where both are narrow enough.
    columns = 1 if max(map(len, labels)) > 21 else min(2, len(labels))
    lines = len(labels) + sum(label.count("\n") for label in labels)
    ax.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, ncols=columns,
        frameon=False, fontsize=8.5, labelcolor=INK, handlelength=3.2, borderaxespad=0,
    )  # fmt: skip
    if grow:
        figure = root_figure(ax)
        figure.set_figheight(figure.get_figheight() + 0.17 * -(-lines // columns) + 0.1)


def thin(n: int, limit: int) -> slice:
    """Every k-th of ``n`` rows, so that there are no more than ``limit``.

    >>> thin(10, 4), thin(3, 4)
    (slice(None, None, 3), slice(None, None, 1))
    """
    return slice(None, None, max(1, -(-n // limit)))


def span(values: Iterable[Array]) -> tuple[float, float]:
    """Smallest and largest of all values, with a little room at both ends."""
    found = np.concatenate([np.ravel(array) for array in values])
    low, high = float(found.min()), float(found.max())
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room
