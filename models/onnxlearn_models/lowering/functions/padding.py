"""Positions added around a tensor."""

from __future__ import annotations

from collections.abc import Sequence

from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Context, known_sizes
from onnxlearn_models.lowering.trace import UnsupportedError

_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


@lowers(functional.pad)
def _pad(c: Context, input: Tensorish, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Value:
    """``pad`` goes in pairs, from the last dimension on."""
    rank, pairs = len(input.shape), list(zip(pad[::2], pad[1::2], strict=True))
    sides = [(0, 0)] * (rank - len(pairs)) + pairs[::-1]
    known_sizes((size for size, side in zip(input.shape, sides, strict=True) if any(side)), "padding")
    if mode == "circular":
        return _around(c, c.value(input), sides, input.shape)
    before, after = zip(*sides, strict=True)
    constant = c.value(value or 0, c.dtype) if mode == "constant" else None
    return c.g.op("Pad", c.value(input), c.int64(*before, *after), constant, mode=_MODES[mode])


def _around(c: Context, x: Value, sides: list[tuple[int, int]], shape: tuple[int | None, ...]) -> Value:
    """The end put before the beginning and the other way round; ONNX has it from operator set 19 on."""
    for axis, (before, after) in enumerate(sides):
        size = shape[axis]
        if size is None or not (before or after):
            continue
        if min(before, after) < 0:
            raise UnsupportedError("circular padding that takes positions away")
        ends = [(size - before, size)] if before else []
        starts = [(0, after)] if after else []
        x = c.g.op("Concat", *(_cut(c, x, axis, *part) for part in [*ends, (0, size), *starts]), axis=axis)
    return x


def _cut(c: Context, x: Value, axis: int, start: int, end: int) -> Value:
    return c.g.op("Slice", x, c.int64(start), c.int64(end), c.int64(axis))
