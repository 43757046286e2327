"""The contract of fitted preprocessing, as a check that raises AssertionError."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onnxlearn.graph.check import check
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.runtime import open_session
from onnxlearn.testing.parity import BATCH_SIZES, Array, expect, run_rows


def check_step(preprocessing: Preprocessing, feeds: Mapping[str, Array]) -> None:
    """Fitted preprocessing keeps its contract on these rows (its training rows) and on hostile ones.

    Types and widths are those of the ingress; codes lie below their cardinalities; numbers are finite; a row gives the same
    in every batch; columns that were constant in training are 0; the graph passes the checks and is the same every time.
    """
    model = preprocessing.to_model()
    check(model)
    data = model.SerializeToString(deterministic=True)
    expect(data == preprocessing.to_model().SerializeToString(deterministic=True), "the graph differs from time to time")
    session = open_session(data, "cpu")
    for rows in (feeds, hostile_feeds(preprocessing.schema)):
        tensors = run_rows(session, rows)
        _check_tensors(preprocessing, tensors)
        for size in BATCH_SIZES:
            batch = run_rows(session, {name: array[:size] for name, array in rows.items()})
            for name, tensor in batch.items():
                expect(np.array_equal(tensor, tensors[name][:size]), f"{name} differs in a batch of {size}")
    constant = preprocessing.affine.constant
    if constant.any() and preprocessing.made is None:
        expect(not tensors["prep/num"][:, : len(constant)][:, constant].any(), "a column without variation is not 0")


def _check_tensors(preprocessing: Preprocessing, tensors: Mapping[str, Array]) -> None:
    ingress = preprocessing.schema.ingress
    assert ingress is not None
    widths = {"prep/num": (ingress.n_num, np.float32), "prep/cat": (ingress.n_cat, np.int64)}
    expect(set(tensors) == {name for name, (width, _) in widths.items() if width}, f"the outputs are {sorted(tensors)}")
    for name, tensor in tensors.items():
        width, dtype = widths[name]
        expect(tensor.ndim == 2 and tensor.shape[1] == width, f"{name} has shape {tensor.shape}, not [N, {width}]")
        expect(tensor.dtype == dtype, f"{name} is {tensor.dtype}, not {np.dtype(dtype)}")
    if "prep/num" in tensors:
        bad = ~np.isfinite(tensors["prep/num"]).all(axis=0)
        expect(not bad.any(), f"columns are not finite: {[ingress.num_names[i] for i in np.flatnonzero(bad)]}")
    if "prep/cat" in tensors:
        codes = tensors["prep/cat"]
        expect(bool(((codes >= 0) & (codes < np.array(ingress.cardinalities))).all()), "a code is out of range")
