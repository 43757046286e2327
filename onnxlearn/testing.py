"""The contracts of preprocessing and of exported files, as checks that raise AssertionError.

They serve this package's tests and those of plug-ins alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlearn.graph.check import check
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.runtime import Session, open_session, run_chunked

Array = np.ndarray[Any, np.dtype[Any]]

BATCH_SIZES = (0, 1, 37)
# |a - b| <= TOLERANCE + TOLERANCE |b|, on probabilities and on predictions in standard deviations of the target.
TOLERANCE = 1e-5


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

    ``expected``: ``probabilities`` and perhaps ``label``, or ``prediction``, as a reference computed them. ``scale`` and
    ``center``: standard deviation and mean of each target, float64 ``[T]``; predictions are compared in deviations from the
    mean. Labels agree wherever the two best probabilities differ by more than the tolerance.
    """
    session = open_session(model, "cpu")
    n_rows = len(next(iter(feeds.values())))
    for size in (*batch_sizes, n_rows):
        n = min(size, n_rows)
        outputs = _run(session, {name: array[:n] for name, array in feeds.items()})
        _compare_outputs(outputs, {name: array[:n] for name, array in expected.items()}, (center, scale), tolerance, n)


def check_step(preprocessing: Preprocessing, feeds: Mapping[str, Array]) -> None:
    """Fitted preprocessing keeps its contract on these rows (its training rows) and on hostile ones.

    Types and widths are those of the ingress; codes lie below their cardinalities; numbers are finite; a row gives the same
    in every batch; columns that were constant in training are 0; the graph passes the checks and is the same every time.
    """
    model = preprocessing.to_model()
    check(model)
    data = model.SerializeToString(deterministic=True)
    _expect(data == preprocessing.to_model().SerializeToString(deterministic=True), "the graph differs from time to time")
    session = open_session(data, "cpu")
    for rows in (feeds, hostile_feeds(preprocessing.schema)):
        tensors = _run(session, rows)
        _check_tensors(preprocessing, tensors)
        for size in BATCH_SIZES:
            batch = _run(session, {name: array[:size] for name, array in rows.items()})
            for name, tensor in batch.items():
                _expect(np.array_equal(tensor, tensors[name][:size]), f"{name} differs in a batch of {size}")
    constant = preprocessing.affine.constant
    if constant.any():
        _expect(not tensors["prep/num"][:, : len(constant)][:, constant].any(), "a column without variation is not 0")


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
    # Both branches of a Where are computed there, also where one of them divides by zero or overflows.
    with np.errstate(all="ignore"):
        outputs = evaluator.run(None, dict(feeds))
    return dict(zip(evaluator.output_names, outputs, strict=True))


def _run(session: Session, feeds: Mapping[str, Array]) -> dict[str, Array]:
    return run_chunked(session, feeds, chunk_rows=max(1, len(next(iter(feeds.values())))))


def _check_tensors(preprocessing: Preprocessing, tensors: Mapping[str, Array]) -> None:
    ingress = preprocessing.schema.ingress
    assert ingress is not None
    widths = {"prep/num": (ingress.n_num, np.float32), "prep/cat": (ingress.n_cat, np.int64)}
    _expect(set(tensors) == {name for name, (width, _) in widths.items() if width}, f"the outputs are {sorted(tensors)}")
    for name, tensor in tensors.items():
        width, dtype = widths[name]
        _expect(tensor.ndim == 2 and tensor.shape[1] == width, f"{name} has shape {tensor.shape}, not [N, {width}]")
        _expect(tensor.dtype == dtype, f"{name} is {tensor.dtype}, not {np.dtype(dtype)}")
    if "prep/num" in tensors:
        bad = ~np.isfinite(tensors["prep/num"]).all(axis=0)
        _expect(not bad.any(), f"columns are not finite: {[ingress.num_names[i] for i in np.flatnonzero(bad)]}")
    if "prep/cat" in tensors:
        codes = tensors["prep/cat"]
        _expect(bool(((codes >= 0) & (codes < np.array(ingress.cardinalities))).all()), "a code is out of range")


def _compare_outputs(
    outputs: Mapping[str, Array],
    expected: Mapping[str, Array],
    location: tuple[Array | float, Array | float],
    tolerance: float,
    n: int,
) -> None:
    for name in ("probabilities", "prediction"):
        if name in expected:
            center, unit = location if name == "prediction" else (0.0, 1.0)
            _expect(outputs[name].shape == expected[name].shape, f"{name} has shape {outputs[name].shape} for {n} rows")
            difference = np.abs(outputs[name] - expected[name]) / unit
            excess = difference - tolerance * np.abs((expected[name] - center) / unit)
            worst = float(excess.max(initial=0.0))
            _expect(worst <= tolerance, f"{name} differs by {float(difference.max(initial=0.0)):g} for {n} rows")
    if "label" in expected:
        best = np.sort(expected["probabilities"], axis=1)
        clear = best[:, -1] - best[:, -2] > tolerance
        same = np.asarray(outputs["label"] == expected["label"])
        _expect(outputs["label"].shape == (n,) and bool(same[clear].all()), f"labels differ for {n} rows")


def _expect(holds: bool, message: str) -> None:  # noqa: FBT001
    if not holds:
        raise AssertionError(message)
