"""What the entries of the lowering table work on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onnxlearn.errors import ExportError
from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn_models.lowering.trace import UnsupportedError

ONNX_TYPES = {torch.float32: 1, torch.float64: 11, torch.int64: 7, torch.int32: 6, torch.bool: 9}
"""Element types of the lowering, by their numbers in ONNX's TensorProto.DataType."""


@dataclass(frozen=True)
class Traced:
    """A tensor that depends on the network's inputs. ``sample`` has its type; ``None`` in ``shape`` follows the batch."""

    value: Value
    sample: Tensor
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Constant:
    """A tensor that does not: a weight, a buffer or what was computed from them."""

    tensor: Tensor
    name: str = "const"

    @property
    def sample(self) -> Tensor:
        """The tensor itself."""
        return self.tensor

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Its shape."""
        return tuple(self.tensor.shape)


@dataclass(frozen=True)
class Varying:
    """A number or shape that follows the batch, which only entries that work from the shape of their result can take."""


@dataclass(frozen=True)
class Context:
    """The graph, and what is known of the result: a sample and the shape. ``batch`` is a value with one row per row.

    ``name``: that of the module, where one is lowered. ``unread``: of several results those that nothing reads.
    """

    g: GraphBuilder
    out: Any
    batch: Value
    shape: tuple[int | None, ...] = ()
    name: str = ""
    unread: frozenset[int] = frozenset()

    @property
    def dtype(self) -> torch.dtype:
        """Type of the result."""
        return self.out.dtype  # type: ignore[no-any-return]

    def need_single(self, what: str, dtype: torch.dtype | None = None) -> None:
        """Refuse what ONNX Runtime computes in float32 alone. Raises: ExportError in another type."""
        if (dtype or self.dtype) != torch.float32:
            raise ExportError(f"the network has {what}, which ONNX Runtime computes in FLOAT alone, not in DOUBLE")

    def value(self, x: Any, dtype: torch.dtype | None = None) -> Value:
        """A tensor or number as a value of the graph, in the type asked for (default: its own)."""
        if isinstance(x, Traced):
            return x.value if dtype in (None, x.sample.dtype) else self.cast(x.value, _known(dtype))
        if isinstance(x, Varying):
            raise UnsupportedError("arithmetic with the number of rows")
        # A number takes the type at once: by way of torch's default, float32, 0.01 would not be 0.01 in float64.
        tensor = x.tensor if isinstance(x, Constant) else torch.as_tensor(x, dtype=dtype)
        tensor = tensor.detach().to("cpu", dtype)
        _known(tensor.dtype)
        return self.g.const(tensor.contiguous().numpy(), x.name if isinstance(x, Constant) else "const")

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        """The value in another type."""
        return self.g.op("Cast", value, to=ONNX_TYPES[dtype])

    def per_channel(self, vector: Traced | Constant) -> Value:
        """One number for each channel, the second dimension of the result, in a form that is broadcast so."""
        column = (-1, *[1] * (len(self.shape) - 2))
        if isinstance(vector, Constant):
            return self.value(Constant(vector.tensor.reshape(column), vector.name))
        return self.g.op("Reshape", vector.value, self.int64(*column))

    def int64(self, *numbers: int) -> Value:
        """A one-dimensional constant of indices."""
        return self.g.const(np.array(numbers, dtype=np.int64))

    def reshape(self, x: Value, shape: tuple[int | None, ...], *, same_rows: bool = True) -> Value:
        """Give another shape; at most one dimension may follow the batch, the first of ``x`` itself where ``same_rows``."""
        if shape.count(None) > 1:
            raise UnsupportedError("a shape in which several dimensions follow the batch")
        # 0 copies the dimension and is right for an empty batch as well; elsewhere -1 infers it.
        sizes = [(0 if i == 0 and same_rows else -1) if size is None else size for i, size in enumerate(shape)]
        return self.g.op("Reshape", x, self.int64(*sizes))


def known_sizes(sizes: Iterable[int | None], what: str) -> tuple[int, ...]:
    """Sizes none of which follows the batch. Raises: UnsupportedError."""
    known = tuple(sizes)
    if None in known:
        raise UnsupportedError(f"{what} over the batch")
    return known  # type: ignore[return-value]


def _known(dtype: torch.dtype | None) -> torch.dtype:
    if dtype not in ONNX_TYPES:
        raise UnsupportedError(f"the type {dtype}")
    return dtype
