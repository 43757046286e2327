"""A trained network with what stands before and behind it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onnxlearn.graph.assemble import NetworkPart, NetworkValues
from onnxlearn.graph.builder import DOUBLE, FLOAT, GraphBuilder, Value
from onnxlearn.postprocess.heads import Head
from onnxlearn.preprocess.fitted import FittedPreprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.wire.feeds import Feeds
from onnxlearn_models.lowering.lower import MAIN_OUTPUT, emit_outputs
from onnxlearn_models.training.history import TrainResult
from onnxlearn_models.training.tensors import arguments

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network, on the CPU in evaluation mode. ``scaling`` is ``None`` for classification.

    ``chosen``: the settings that were left to task and rows, with the values that were used.
    """

    module: nn.Module
    preprocessing: FittedPreprocessing
    head: Head
    scaling: TargetScaling | None
    result: TrainResult
    chosen: dict[str, Any]

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in: float32, in which it was trained, or float64."""
        return dtype_of(self.module)

    def in_float64(self) -> FittedNetwork:
        """The same weights, computing in float64."""
        return dataclasses.replace(self, module=copy.deepcopy(self.module).double())

    def part(self) -> NetworkPart:
        """What the graph is assembled from. Emitting it raises ExportError where the network cannot be exported."""
        return NetworkPart(
            preprocessing=self.preprocessing,
            emit=self._emit,
            head=self.head,
            scaling=self.scaling,
            double=self.dtype == torch.float64,
        )

    def outputs(self, feeds: Feeds) -> dict[str, Array]:
        """What torch makes of these rows, float64: the outputs of the head."""
        return self.all_outputs(feeds)[0]

    def all_outputs(self, feeds: Feeds) -> tuple[dict[str, Array], dict[str, Array]]:
        """As :meth:`outputs`, and what the network gives beside its output, by name, float64."""
        tensors = network_tensors(self.module, self.preprocessing, feeds)
        found = {name: np.asarray(tensor.numpy(), np.float64) for name, tensor in run_network(self.module, tensors).items()}
        return self.head.apply(found.pop(MAIN_OUTPUT), self.scaling), found

    def samples(self) -> dict[str, Tensor]:
        """One row of every ingress that there is."""
        types = {name: torch.int64 if is_int else self.dtype for name, is_int in self.preprocessing.ingress.integral.items()}
        return {name: torch.zeros(1, *row, dtype=types[name]) for name, row in self.preprocessing.ingress.shapes.items()}

    def _emit(self, g: GraphBuilder, tensors: Mapping[str, Value]) -> NetworkValues:
        """The network's nodes."""
        double = self.dtype == torch.float64
        samples = self.samples()
        # The numbers are those that training read, float32, in both cases.
        inputs = {
            name: g.op("Cast", value, to=DOUBLE) if double and samples[name].is_floating_point() else value
            for name, value in tensors.items()
        }
        outputs = emit_outputs(g, self.module, inputs, samples)
        output, shape = outputs[MAIN_OUTPUT].value, outputs[MAIN_OUTPUT].sample.shape[1:]
        further = {
            name: (g.op("Cast", each.value, to=FLOAT) if double else each.value, tuple(each.sample.shape[1:]))
            for name, each in outputs.items()
            if name != MAIN_OUTPUT
        }
        return NetworkValues(output=output, n_members=shape[0] if len(shape) == 2 else None, further=further)


def network_tensors(module: nn.Module, preprocessing: FittedPreprocessing, feeds: Feeds) -> dict[str, Tensor]:
    """What a network reads of these rows, in the type of its weights."""
    dtype = dtype_of(module)
    tensors = {name: torch.from_numpy(array) for name, array in preprocessing.transform(feeds).items()}
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


@torch.no_grad()
def run_network(module: nn.Module, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every output of a network by name, computed in parts where the module says of how many rows."""
    outputs: Callable[..., dict[str, Tensor]] | None = getattr(module, "outputs", None)
    n_rows = len(next(iter(inputs.values())))
    step = getattr(module, "evaluation_rows", max(n_rows, 1))
    parts = []
    for start in range(0, max(n_rows, 1), step):
        part = {name: tensor[start : start + step] for name, tensor in inputs.items()}
        parts.append({MAIN_OUTPUT: module(**arguments(part))} if outputs is None else outputs(**arguments(part)))
    return parts[0] if len(parts) == 1 else {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def dtype_of(module: nn.Module) -> torch.dtype:
    """The floating-point type of a network; float32 where it has no parameters."""
    return next((parameter.dtype for parameter in module.parameters()), torch.float32)
