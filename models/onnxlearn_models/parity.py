"""The proof that the exported file and the networks agree (design: every export proves itself)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxlearn.errors import ParityError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.postprocess.heads import average
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.prediction import class_array
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.schema import Schema, Target
from onnxlearn.session import CHUNK_ROWS, Session, run_chunked
from onnxlearn.wire.feeds import Feeds, join_feeds
from onnxlearn_models.fitted import FittedNetwork

Array = np.ndarray[Any, np.dtype[Any]]

TOLERANCE = 1e-5
"""``|a - b| <= TOLERANCE + TOLERANCE |b|``, on probabilities and on predictions in standard deviations of the target."""

MARGIN = 4
"""Two programs that round may differ by so many times what one of them differs from exact numbers."""

LARGEST_TOLERANCE = 1e-3
"""Beyond it a network is not one that float32 can compute."""

BATCH_SIZES = (0, 1, 37)
# Training rows and hostile ones. Where rows are dear, because the tensors of each are wide, they are fewer, but more than
# the largest batch, and every hostile value is still among them.
ROWS = (256, 64)
DEAR_ROWS = (16, 24)


def prove_parity(
    session: Session,
    networks: Sequence[FittedNetwork],
    post: Postprocessing,
    feeds: Feeds,
    tolerance: float = TOLERANCE,
    weights: Array | None = None,
) -> dict[str, Any]:
    """Run the file and the networks on real rows and hostile ones, in batches of 0, 1, 37 and all; what was measured.

    ``feeds`` are training rows, of which the first ones are used; ``weights`` what each network counts.

    Raises: ParityError where they differ by more than the tolerance.
    """
    schema, scaling = networks[0].preprocessing.schema, networks[0].scaling
    rows = rows_to_try(schema, feeds, session.chunk_rows)
    n_rows = len(next(iter(rows.values())))
    found_by_torch = [network.all_outputs(rows) for network in networks]
    before = average([outputs for outputs, _ in found_by_torch], weights)
    expected, certain = post.apply(before, schema.target), post.certain(before, schema.target, tolerance)
    further = found_by_torch[0][1] if len(networks) == 1 else {}
    # The batch of one is a hostile row: those stand at the end.
    batches = [slice(n_rows - min(size, n_rows), n_rows) for size in BATCH_SIZES] + [slice(None)]
    gaps = []
    for batch in batches:
        # In one go: what is proven is that a batch of any size is right.
        found = run_chunked(session, {name: array[batch] for name, array in rows.items()}, chunk_rows=n_rows)
        for name, array in (expected | further).items():
            _require_shape(name, found[name], array[batch])
            if name in certain:
                _require_equal(name, found[name], array[batch], certain[name][batch], schema.target)
            else:
                gaps.append(_gap(*_in_units(name, found[name], array[batch], None if name in further else scaling)))
    _require(gaps, tolerance)
    return {"max_difference": max(gap for gap, _ in gaps), "n_rows": n_rows, "tolerance": tolerance}


def float32_tolerance(
    networks: Sequence[FittedNetwork], exact: Sequence[FittedNetwork], feeds: Feeds, chunk_rows: int
) -> float:
    """What the rounding of float32 allows: ``MARGIN`` times the distance of the networks from ``exact``, those in float64.

    Of their own outputs, by torch on the rows of the proof; ``TOLERANCE`` at least.
    """
    rows = rows_to_try(networks[0].preprocessing.schema, feeds, chunk_rows)
    gaps = []
    for network, other in zip(networks, exact, strict=True):
        parts = zip(network.all_outputs(rows), other.all_outputs(rows), (network.scaling, None), strict=True)
        for found, expected, scaling in parts:
            gaps += [_gap(*_in_units(name, found[name], array, scaling)) for name, array in expected.items()]
    return TOLERANCE * max(1.0, MARGIN * float(np.max(gaps, axis=0)[1]))


def rows_to_try(schema: Schema, feeds: Feeds, chunk_rows: int) -> Feeds:
    """The first training rows, and hostile ones behind them: fewer for a file that is run on few rows at a time."""
    n_training, n_hostile = DEAR_ROWS if chunk_rows < CHUNK_ROWS else ROWS
    return join_feeds({name: array[:n_training] for name, array in feeds.items()}, hostile_feeds(schema, n_hostile))


def _require_shape(name: str, found: Array, expected: Array) -> None:
    if found.shape != expected.shape:
        raise ParityError(f"the exported file gives {found.shape} {name} where the network gives {expected.shape}")


def _require_equal(name: str, found: Array, expected: Array, certain: Array, target: Target) -> None:
    """Choices agree wherever they are certain: labels, members of sets."""
    if name == "label":
        expected = class_array(target)[expected]
    if (found != expected)[certain].any():
        raise ParityError(f"the exported file and the network choose different {name}s")


def _in_units(name: str, found: Array, expected: Array, scaling: TargetScaling | None) -> tuple[Array, Array]:
    """Both as they are compared: probabilities, or numbers in scaled units.

    In scaled units, because relative to a mean of 1.7e9 no deviation would ever be too large.
    """
    if scaling is None:
        return found.astype(np.float64), expected
    shape = (-1,) + (1,) * (expected.ndim - 2)
    center, unit = (array.reshape(shape) for array in (scaling.center, scaling.unit))
    z = expected / unit if name == "std" else (expected - center) / unit
    return z + (found - expected) / unit, z


def _gap(found: Array, expected: Array) -> tuple[float, float]:
    difference = np.abs(found - expected)
    share = difference / (TOLERANCE + TOLERANCE * np.abs(expected))
    return float(difference.max(initial=0.0)), float(share.max(initial=0.0))


def _require(gaps: Sequence[tuple[float, float]], tolerance: float) -> None:
    largest, worst = np.max(gaps, axis=0)
    worst *= TOLERANCE / tolerance
    # Also wrong where it is NaN.
    if not worst <= 1:
        raise ParityError(
            f"the exported file and the network differ by {largest:.3g}, {worst:.3g} times what is allowed; "
            "no file was written: please report it with the learner's settings"
        )
