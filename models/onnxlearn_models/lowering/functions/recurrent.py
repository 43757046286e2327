"""Recurrent modules, by the operators of their names. ONNX Runtime has them in float32 alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from onnxlearn.graph.builder import Value
from onnxlearn_models.layers.recurrent import PackedRecurrent
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Constant, Context, known_sizes
from onnxlearn_models.lowering.trace import UnsupportedError

# The places of ONNX's gates among torch's. ONNX has them as i o f c, z r h; torch as i f g o, r z n.
_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


@lowers(nn.RNN, nn.GRU, nn.LSTM)
def _recurrent(c: Context, module: nn.RNNBase, input: Tensorish, hx: Any = None) -> tuple[Any, ...]:
    """The states, and the last ones of each layer."""
    if hx is not None or module.proj_size or len(input.shape) != 3:
        raise UnsupportedError("recurrent modules with a first state, a projection or without rows")
    return _states(c, module, input)


@lowers(PackedRecurrent)
def _packed(c: Context, packed: PackedRecurrent, x: Tensorish, lengths: Tensorish) -> tuple[Any, ...]:
    """The states, zeros behind the end of a row, and the last ones of each layer."""
    states, last = _states(c, packed.module, x, lengths)
    return states, last[0] if isinstance(last, tuple) else last


def _states(c: Context, module: nn.RNNBase, input: Tensorish, lengths: Tensorish | None = None) -> tuple[Any, ...]:
    (n_places,) = known_sizes((input.shape[1 if module.batch_first else 0],), "recurrent modules")
    c.need_single("recurrent modules", input.sample.dtype)
    states, last = c.value(input), []
    if module.batch_first:
        states = c.g.op("Transpose", states, perm=[1, 0, 2])
    n_rows = c.g.op("Shape", states, start=1, end=2)
    states = _never_empty(c, states, n_rows, (n_places, 1, module.input_size), axis=1)
    n_places_of = None
    if lengths is not None:
        n_places_of = _never_empty(c, c.cast(c.value(lengths), torch.int32), n_rows, (1,), axis=0)
    for layer in range(module.num_layers):
        # [positions, directions, rows, state] for each layer, of which the next one sees the directions side by side.
        found, *ends = _layer(c, module, layer, states, n_places_of)
        batch_first = module.batch_first and layer == module.num_layers - 1
        order = [2, 0, 1, 3] if batch_first else [0, 2, 1, 3]
        width = module.hidden_size * (1 + module.bidirectional)
        states = c.g.op("Reshape", c.g.op("Transpose", found, perm=order), c.int64(0, 0, width))
        last.append(ends)
    found = _rows(c, states, n_rows, 0 if module.batch_first else 1)
    if 1 in c.unread:
        return found, None
    ends = [_rows(c, c.g.op("Concat", *layers, axis=0), n_rows, 1) for layers in zip(*last, strict=True)]
    return found, tuple(ends) if len(ends) > 1 else ends[0]


def _never_empty(c: Context, x: Value, n_rows: Value, row: tuple[int, ...], *, axis: int) -> Value:
    """Another row where there is none: without rows these operators end the process of ONNX Runtime."""
    more = c.cast(c.g.op("Equal", n_rows, c.int64(0)), torch.int64)
    # Of one position, or of zeros.
    other = torch.zeros(row) if axis else torch.ones(row, dtype=torch.int32)
    return c.g.op("Concat", x, _rows(c, c.value(other), more, axis), axis=axis)


def _rows(c: Context, x: Value, n_rows: Value, axis: int) -> Value:
    return c.g.op("Slice", x, c.int64(0), n_rows, c.int64(axis))


def _layer(c: Context, module: nn.RNNBase, layer: int, x: Value, lengths: Value | None) -> tuple[Value, ...]:
    """All states, the last ones, and of an LSTM its last cells."""
    kind = type(module).__name__
    weights = [_weights(c, module, kind, f"weight_{part}_l{layer}") for part in ("ih", "hh")]
    bias = _weights(c, module, kind, f"bias_ih_l{layer}", f"bias_hh_l{layer}") if module.bias else None
    how: dict[str, Any] = {"direction": "bidirectional"} if module.bidirectional else {}
    if kind == "GRU":
        how["linear_before_reset"] = 1
    if kind == "RNN":
        how["activations"] = [str(module.nonlinearity).capitalize()] * (1 + module.bidirectional)
    return c.g.ops(
        kind, x, *weights, bias, lengths, n_outputs=3 if kind == "LSTM" else 2, hidden_size=module.hidden_size, **how
    )  # fmt: skip


def _weights(c: Context, module: nn.RNNBase, kind: str, *names: str) -> Value:
    """Tensors of these names side by side, for each direction, in the order of ONNX's gates."""
    directions = ("", "_reverse") if module.bidirectional else ("",)
    rows = [torch.cat([_gates(getattr(module, name + end), kind) for name in names]) for end in directions]
    return c.value(Constant(torch.stack(rows), f"{c.name}.{names[0]}"))


def _gates(weight: Tensor, kind: str) -> Tensor:
    parts = weight.detach().chunk(len(_GATES[kind]))
    return torch.cat([parts[i] for i in _GATES[kind]])
