"""The proof that the exported file and the network agree (design: every export proves itself)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

from onnxlearn.errors import ParityError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.prediction import class_array
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.runtime import Session, run_chunked
from onnxlearn.wire.feeds import Feeds

Array = np.ndarray[Any, np.dtype[Any]]

Compare: TypeAlias = Callable[[Mapping[str, Array], Array], tuple[float, float]]
"""(outputs of the file, output of the network) -> largest difference, and the largest as a share of what is allowed."""

TOLERANCE = 1e-5
"""``|a - b| <= TOLERANCE + TOLERANCE |b|``, on probabilities and on predictions in standard deviations of the target."""

BATCH_SIZES = (0, 1, 37)
MAX_TRAINING_ROWS = 256


def prove_parity(
    session: Session, module: nn.Module, preprocessing: Preprocessing, scaling: TargetScaling | None, feeds: Feeds
) -> dict[str, Any]:
    """Run the file and the network on real rows and hostile ones, in batches of 0, 1, 37 and all; what was measured.

    ``module`` is on the CPU in evaluation mode; ``feeds`` are training rows, of which the first ones are used.
    Raises: ParityError where they differ by more than the tolerance.
    """
    rows = join_feeds({name: array[:MAX_TRAINING_ROWS] for name, array in feeds.items()}, hostile_feeds(preprocessing.schema))
    n_rows = len(next(iter(rows.values())))
    reference = network_output(module, preprocessing.transform(rows))
    target = preprocessing.schema.target
    compare = _classification_gap(class_array(target)) if scaling is None else _regression_gap(scaling)
    # The batch of one is a hostile row: those stand at the end.
    batches = [slice(n_rows - min(size, n_rows), n_rows) for size in BATCH_SIZES] + [slice(None)]
    gaps = []
    for batch in batches:
        outputs = run_chunked(session, {name: array[batch] for name, array in rows.items()})
        gaps.append(compare(outputs, reference[batch]))
    _require(gaps)
    return {"max_difference": max(gap for gap, _ in gaps), "n_rows": n_rows, "tolerance": TOLERANCE}


@torch.no_grad()
def network_output(module: nn.Module, tensors: Mapping[str, Array]) -> Array:
    """Logits or scaled predictions as torch computes them in the type of the network's weights, given as float64."""
    inputs = {name: torch.from_numpy(array) for name, array in tensors.items()}
    dtype = dtype_of(module)
    output = module(**{name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in inputs.items()})
    return np.asarray(output.numpy(), np.float64)


def dtype_of(module: nn.Module) -> torch.dtype:
    """The floating-point type of a network; float32 where it has no parameters."""
    return next((parameter.dtype for parameter in module.parameters()), torch.float32)


def softmax(logits: Array) -> Array:
    """Probabilities ``[N, C]`` of float64 logits."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))


def join_feeds(first: Feeds, second: Feeds) -> Feeds:
    """The rows of both, one after the other."""
    return {name: np.concatenate([first[name], second[name]]) for name in first}


def _classification_gap(classes: Array) -> Compare:
    """Compares labels and probabilities with logits."""

    def gap(outputs: Mapping[str, Array], logits: Array) -> tuple[float, float]:
        expected, found = softmax(logits), outputs["probabilities"].astype(np.float64)
        if found.shape != expected.shape:
            raise ParityError(f"the exported file gives {found.shape} probabilities where the network gives {expected.shape}")
        best = np.sort(expected, axis=1)[:, -2:]
        clear = best[:, 1] - best[:, 0] > TOLERANCE
        if (outputs["label"] != classes[expected.argmax(axis=1)])[clear].any():
            raise ParityError("the exported file and the network choose different labels")
        return _gap(found, expected)

    return gap


def _regression_gap(scaling: TargetScaling) -> Compare:
    """Compares predictions with scaled predictions, in scaled units."""

    def gap(outputs: Mapping[str, Array], z: Array) -> tuple[float, float]:
        found = outputs["prediction"]
        if found.shape != z.shape:
            raise ParityError(f"the exported file gives {found.shape} predictions where the network gives {z.shape}")
        # In scaled units: relative to a mean of 1.7e9 no deviation would ever be too large.
        return _gap(z + (found - scaling.inverse(z)) / scaling.unit, z)

    return gap


def _gap(found: Array, expected: Array) -> tuple[float, float]:
    difference = np.abs(found - expected)
    share = difference / (TOLERANCE + TOLERANCE * np.abs(expected))
    return float(difference.max(initial=0.0)), float(share.max(initial=0.0))


def _require(gaps: list[tuple[float, float]]) -> None:
    largest, worst = np.max(gaps, axis=0)
    # Also wrong where it is NaN.
    if not worst <= 1:
        raise ParityError(
            f"the exported file and the network differ by {largest:.3g}, {worst:.3g} times what is allowed; "
            "no file was written: please report it with the learner's settings"
        )
