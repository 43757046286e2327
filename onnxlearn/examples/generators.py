"""Tables drawn at random, from shapes that a line cannot part and curves that a line cannot follow.

``noise`` is the standard deviation of normal noise: on both coordinates of points (``normals``, ``simplex``: around the
centre of their class), on the target of ``friedman1`` to ``friedman3``. Classes are of equal size, give or take a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onnxlearn.examples.bundled import import_datasets

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]
Points = tuple[Array, Array]  # float64 [N, d] and the class of each, int64 [N]

SPIRAL_TURNS = 1.5


def generate(name: str, n_rows: int, noise: float, seed: int) -> pd.DataFrame:
    """The example of that name: features ``x1``, ``x2``, ..., then ``class`` (text) or ``y``.

    The same rows for the same arguments; nothing else is read or changed.
    """
    if name in _CURVES:
        features, y = getattr(import_datasets(name), _CURVES[name])(n_samples=n_rows, noise=noise, random_state=seed)
        return _frame(features, "y", y)
    draw, classes = _SHAPES[name]
    points, codes = draw(n_rows, noise, seed)
    return _frame(points, "class", [classes[code] for code in codes])


def _frame(features: Array, target: str, values: Array | Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    columns = {f"x{i}": column for i, column in enumerate(features.T, 1)}
    return pd.DataFrame({**columns, target: values})


def _moons(n_rows: int, noise: float, seed: int) -> Points:
    points: Points = import_datasets("moons").make_moons(n_rows, noise=noise, random_state=seed)
    return points


def _circles(n_rows: int, noise: float, seed: int) -> Points:
    points: Points = import_datasets("circles").make_circles(n_rows, noise=noise, random_state=seed, factor=0.5)
    return points


def _spirals(n_rows: int, noise: float, seed: int) -> Points:
    rng, codes = _start(n_rows, 2, seed)
    # The root spreads the points evenly along the spiral; a quarter keeps the two apart in the middle.
    radius = np.sqrt(rng.uniform(1 / 16, 1, n_rows))
    angle = 2 * np.pi * SPIRAL_TURNS * radius + np.pi * codes
    return _blurred(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), noise, rng), codes


def _xor(n_rows: int, noise: float, seed: int) -> Points:
    rng, codes = _start(n_rows, 2, seed)
    points = rng.uniform(-1, 1, (n_rows, 2))
    points[:, 1] = np.abs(points[:, 1]) * np.where((points[:, 0] >= 0) == (codes == 1), 1, -1)
    return _blurred(points, noise, rng), codes


def _normals(n_rows: int, noise: float, seed: int) -> Points:
    rng, codes = _start(n_rows, 2, seed)
    return _blurred(np.array([[-1.0, -1.0], [1.0, 1.0]])[codes], noise, rng), codes


def _simplex(n_rows: int, noise: float, seed: int) -> Points:
    rng, codes = _start(n_rows, 4, seed)
    # Every other corner of a cube, scaled to edges of length 1.
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(8)
    return _blurred(corners[codes], noise, rng), codes


def _start(n_rows: int, n_classes: int, seed: int) -> tuple[np.random.Generator, Array]:
    """The source of chance, and the class of each row in random order."""
    rng = np.random.default_rng(seed)
    return rng, rng.permutation(np.arange(n_rows) % n_classes)


def _blurred(points: Array, noise: float, rng: np.random.Generator) -> Array:
    return points + rng.normal(0, noise, points.shape)


_SHAPES: dict[str, tuple[Callable[[int, float, int], Points], tuple[str, ...]]] = {
    "moons": (_moons, ("upper", "lower")),
    "circles": (_circles, ("outer", "inner")),
    "spirals": (_spirals, ("first", "second")),
    "xor": (_xor, ("different", "same")),
    "normals": (_normals, ("left", "right")),
    "simplex": (_simplex, ("a", "b", "c", "d")),
}
_CURVES = {"friedman1": "make_friedman1", "friedman2": "make_friedman2", "friedman3": "make_friedman3"}
