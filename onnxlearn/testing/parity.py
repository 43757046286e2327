"""What an exported file computes is what a reference computed, as checks that raise AssertionError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from onnxlearn.images.feed import ImageFeed
from onnxlearn.images.run import run_images
from onnxlearn.runtime import open_session
from onnxlearn.session import Session, run_chunked

Array = np.ndarray[Any, np.dtype[Any]]

BATCH_SIZES = (0, 1, 37)
# |a - b| <= TOLERANCE + TOLERANCE |b|, on probabilities and on predictions in standard deviations of the target.
TOLERANCE = 1e-5
# What a file may allow itself where float32 does not determine its outputs.
LARGEST_TOLERANCE = 1e-3


def assert_parity(
    model: bytes,
    feeds: Mapping[str, Array],
    expected: Mapping[str, Array],
    *,
    scale: Array | float = 1.0,
    center: Array | float = 0.0,
    tolerance: float = TOLERANCE,
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> None:
    """A model file computes these outputs for all rows at once and for its first rows in batches of these sizes.

    ``expected``: any of the file's outputs, as a reference computed them. ``scale`` and ``center``: standard deviation and
    mean of each target, float64 ``[T]``; predictions, intervals and quantiles are compared in deviations from the mean.
    Labels, which need ``probabilities``, agree wherever the two best ones differ by more than the tolerance.
    """
    session = open_session(model, "cpu")
    n_rows = len(next(iter(feeds.values())))
    for size in (*batch_sizes, n_rows):
        n = min(size, n_rows)
        outputs = run_rows(session, {name: array[:n] for name, array in feeds.items()})
        _compare_outputs(outputs, {name: array[:n] for name, array in expected.items()}, (center, scale), tolerance, n)


def run_reference(model: bytes, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """All outputs as ``onnx.reference``, an implementation of its own, computes them; slow."""
    import onnx
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    class GatherElements(OpRun):
        """The package's own fails on tables of more than 64 rows."""

        op_domain = ""

        def _run(self, data: Array, indices: Array, axis: int) -> tuple[Array]:
            return (np.take_along_axis(data, indices, axis),)

    evaluator = ReferenceEvaluator(onnx.load_from_string(model), new_ops=[GatherElements])
    names = evaluator.output_names
    # Both branches of a Where are computed there, also where one of them divides by zero or overflows.
    with np.errstate(all="ignore"):
        if any(isinstance(feed, ImageFeed) for feed in feeds.values()):
            return dict(zip(names, run_images(_as_session(evaluator), names, feeds), strict=True))
        return dict(zip(names, evaluator.run(None, dict(feeds)), strict=True))


def _as_session(evaluator: Any) -> Any:
    """The parts of a session that images are run by."""
    inputs = [
        SimpleNamespace(name=each.name, shape=[dim.dim_param or dim.dim_value for dim in each.type.tensor_type.shape.dim])
        for each in evaluator.proto_.graph.input
    ]
    return SimpleNamespace(get_inputs=lambda: inputs, run=evaluator.run, get_providers=lambda: ["CPUExecutionProvider"])


def run_rows(session: Session, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs for these rows, computed in one go."""
    return run_chunked(session, feeds, chunk_rows=max(1, len(next(iter(feeds.values())))))


def _compare_outputs(
    outputs: Mapping[str, Array],
    expected: Mapping[str, Array],
    location: tuple[Array | float, Array | float],
    tolerance: float,
    n: int,
) -> None:
    for name, values in expected.items():
        if name == "label":
            continue
        expect(outputs[name].shape == values.shape, f"{name} has shape {outputs[name].shape} for {n} rows")
        if values.dtype.kind != "f":
            expect(bool((outputs[name] == values).all()), f"{name} differs for {n} rows")
            continue
        center, unit = _location(name, values, location)
        difference = np.abs(outputs[name] - values) / unit
        excess = difference - tolerance * np.abs((values - center) / unit)
        worst = float(excess.max(initial=0.0))
        expect(worst <= tolerance, f"{name} differs by {float(difference.max(initial=0.0)):g} for {n} rows")
    if "label" in expected:
        best = np.sort(expected["probabilities"], axis=1)
        clear = best[:, -1] - best[:, -2] > tolerance
        same = np.asarray(outputs["label"] == expected["label"])
        expect(outputs["label"].shape == (n,) and bool(same[clear].all()), f"labels differ for {n} rows")


def _location(name: str, values: Array, location: tuple[Array | float, Array | float]) -> tuple[Array | float, Array | float]:
    """Zero and unit of an output, of each target where it is in the targets' units."""
    if name not in ("prediction", "lower", "upper", "quantiles", "std"):
        return 0.0, 1.0
    center, unit = (part[:, None] if isinstance(part, np.ndarray) and values.ndim == 3 else part for part in location)
    return (0.0 if name == "std" else center), unit


def expect(holds: bool, message: str) -> None:  # noqa: FBT001
    """Raise ``AssertionError`` with the message unless it holds; unlike ``assert`` also under ``python -O``."""
    if not holds:
        raise AssertionError(message)
