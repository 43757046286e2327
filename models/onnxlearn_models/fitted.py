"""A trained network with what stands before and behind it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onnxlearn.graph.assemble import NetworkPart
from onnxlearn.graph.builder import DOUBLE, GraphBuilder, Value
from onnxlearn.postprocess.heads import Head
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.wire.feeds import Feeds
from onnxlearn_models.lowering.lower import lower_or_export
from onnxlearn_models.training.loop import TrainResult

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network, on the CPU in evaluation mode. ``scaling`` is ``None`` for classification.

    ``chosen``: the settings that were left to task and rows, with the values that were used.
    """

    module: nn.Module
    preprocessing: Preprocessing
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
        return self.head.apply(network_output(self.module, self.preprocessing.transform(feeds)), self.scaling)

    def samples(self) -> dict[str, Tensor]:
        """One row of every ingress that there is."""
        ingress = self.preprocessing.plan.ingress
        rows = {"num": torch.zeros(1, ingress.n_num, dtype=self.dtype), "cat": torch.zeros(1, ingress.n_cat, dtype=torch.int64)}
        return {name: row for name, row in rows.items() if row.shape[1]}

    def _emit(self, g: GraphBuilder, tensors: Mapping[str, Value]) -> tuple[Value, int | None]:
        """The network's nodes; its output and the number of its members, if it has any."""
        samples, double = self.samples(), self.dtype == torch.float64
        # The numbers are those that training read, float32, in both cases.
        values = {name: g.op("Cast", value, to=DOUBLE) if double and name == "num" else value for name, value in tensors.items()}
        with torch.no_grad():
            shape = self.module(**samples).shape
        return lower_or_export(g, self.module, values, samples), shape[1] if len(shape) == 3 else None


@torch.no_grad()
def network_output(module: nn.Module, tensors: Mapping[str, Array]) -> Array:
    """Raw output as torch computes it in the type of the network's weights, given as float64."""
    inputs = {name: torch.from_numpy(array) for name, array in tensors.items()}
    dtype = dtype_of(module)
    output = module(**{name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in inputs.items()})
    return np.asarray(output.numpy(), np.float64)


def dtype_of(module: nn.Module) -> torch.dtype:
    """The floating-point type of a network; float32 where it has no parameters."""
    return next((parameter.dtype for parameter in module.parameters()), torch.float32)
