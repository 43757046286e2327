"""What is known of each example before any of its rows is read or drawn."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeAlias

from onnxlearn.errors import UnknownNameError

Origin: TypeAlias = Literal["shipped", "scikit-learn", "generated"]

# Enough for a network to learn the shapes in a second.
GENERATED_ROWS = 500


@dataclass(frozen=True, kw_only=True)
class ExampleInfo:
    """An example table: ``n_features`` columns to learn from, and the ``target``'s.

    ``summary`` says what it is, ``source`` the publication. ``origin``: ``shipped`` with onnxlearn, bundled with
    ``scikit-learn``, or ``generated``: then ``n_rows`` and ``noise`` (a standard deviation) are defaults.
    """

    name: str
    type: Literal["classification", "regression"]
    n_rows: int
    n_features: int
    target: tuple[str, ...]
    summary: str
    source: str
    origin: Origin
    noise: float | None = None


def example_infos() -> dict[str, ExampleInfo]:
    """The examples that :func:`onnxlearn.example_task` can give, by name; nothing is loaded.

    >>> example_infos()["iris"].target
    ('species',)
    """
    return dict(_INFOS)


def example_info(name: str) -> ExampleInfo:
    """The record of an example.

    Raises: UnknownNameError with the nearest name.
    """
    if name not in _INFOS:
        raise UnknownNameError.of("example", name, _INFOS)
    return _INFOS[name]


def _bundled(name: str, n_rows: int, n_features: int, target: str | tuple[str, ...], summary: str, source: str) -> ExampleInfo:
    columns = (target,) if isinstance(target, str) else target
    return ExampleInfo(
        name=name,
        type="regression" if name in ("diabetes", "linnerud") else "classification",
        n_rows=n_rows,
        n_features=n_features,
        target=columns,
        summary=summary,
        source=source,
        origin="scikit-learn",
    )


def _generated(name: str, n_features: int, noise: float, summary: str, source: str) -> ExampleInfo:
    numbers = name.startswith("friedman")
    return ExampleInfo(
        name=name,
        type="regression" if numbers else "classification",
        n_rows=GENERATED_ROWS,
        n_features=n_features,
        target=("y",) if numbers else ("class",),
        summary=summary,
        source=source,
        origin="generated",
        noise=noise,
    )


_PENGUINS = dataclasses.replace(
    _bundled(
        "penguins", 344, 7, "species", "three species of penguins, with missing cells",
        "Gorman, Williams and Fraser (2014), PLoS ONE 9(3): e90081; R package palmerpenguins",
    ),
    origin="shipped",
)  # fmt: skip
_FRIEDMAN = "Friedman (1991), Multivariate adaptive regression splines"

_INFOS = {
    info.name: info
    for info in (
        _PENGUINS,
        _bundled(
            "iris", 150, 4, "species", "three species of iris by their sepals and petals",
            "Fisher (1936), The use of multiple measurements in taxonomic problems",
        ),
        _bundled(
            "wine", 178, 13, "cultivar", "chemistry of wines of three cultivars from one region",
            "Forina, Leardi, Armanino and Lanteri (1988), PARVUS; UCI machine learning repository",
        ),
        _bundled(
            "breast_cancer", 569, 30, "diagnosis", "nuclei of cells from a breast lump",
            "Street, Wolberg and Mangasarian (1993), Nuclear feature extraction for breast tumor diagnosis",
        ),
        _bundled(
            "digits", 1797, 64, "digit", "written digits as 8 x 8 pixels, each a column",
            "Alpaydin and Kaynak (1998), Optical recognition of handwritten digits; UCI machine learning repository",
        ),
        _bundled(
            "diabetes", 442, 10, "progression", "how far diabetes went in a year, by blood and body",
            "Efron, Hastie, Johnstone and Tibshirani (2004), Least angle regression",
        ),
        _bundled(
            "linnerud", 20, 3, ("weight", "waist", "pulse"), "body of 20 men by their exercises",
            "Tenenhaus (1998), La régression PLS",
        ),
        _generated("moons", 2, 0.2, "two half moons, one reaching into the other", "scikit-learn's make_moons"),
        _generated("circles", 2, 0.1, "a circle around another", "scikit-learn's make_circles"),
        _generated(
            "spirals", 2, 0.05, "two spirals, one turned half round",
            "Lang and Witbrock (1988), Learning to tell two spirals apart",
        ),
        _generated(
            "xor", 2, 0.1, "whether two numbers have the same sign", "Minsky and Papert (1969), Perceptrons"
        ),
        _generated(
            "normals", 2, 1.0, "two overlapping normals; at best 92.1 % are right",
            "as mlbench.2dnormals of the R package mlbench",
        ),
        _generated(
            "simplex", 3, 0.3, "four normals at the corners of a tetrahedron",
            "as mlbench.simplex of the R package mlbench",
        ),
        _generated("friedman1", 10, 1.0, "a sine, a square, two lines; five features say nothing", _FRIEDMAN),
        _generated("friedman2", 4, 125.0, "impedance of a circuit by its four parts", _FRIEDMAN),
        _generated("friedman3", 4, 0.1, "phase of a circuit by its four parts", _FRIEDMAN),
    )
}  # fmt: skip
