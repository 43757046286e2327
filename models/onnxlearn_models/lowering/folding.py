"""Batch norms folded into the convolution or linear map before them: in evaluation they scale and shift its channels."""

from __future__ import annotations

from typing import Any

from torch import fx, nn
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions import TABLE
from onnxlearn_models.lowering.functions.convolutions import TRANSPOSED, scaled_weight
from onnxlearn_models.lowering.functions.norms import affine_of
from onnxlearn_models.lowering.operand import Constant, Context
from onnxlearn_models.lowering.trace import BATCH_NORMS, Trace

_MAPS = (functional.linear, functional.conv1d, functional.conv2d, functional.conv3d, *TRANSPOSED)
# The place of the groups among the arguments of all convolutions.
_GROUPS = 6


def foldable(trace: Trace) -> set[fx.Node]:
    """Maps whose only reader is a batch norm and whose weights are constants."""
    found = set()
    for node in trace.graph.nodes:
        if node.op == "call_module" and isinstance(trace.module.get_submodule(str(node.target)), BATCH_NORMS):
            source: Any = node.all_input_nodes[0]
            if source.op == "call_function" and source.target in _MAPS and len(source.users) == 1 and _fits(trace, source):
                found.add(source)
    return found


def _fits(trace: Trace, source: fx.Node) -> bool:
    """Whether the weights are constants, and the channels that they make the second dimension."""
    weights = [node for node in source.all_input_nodes if node not in source.args[:1]]
    second = source.target is not functional.linear or len(trace.shape(source)) == 2
    return second and bool(source.args) and not any(node in trace.dynamic for node in weights)


def folded(c: Context, norm: nn.Module, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
    """The map ``target`` of these arguments with a batch norm behind it, as one map."""
    scale, shift = affine_of(norm)
    given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
    weight, bias = given["weight"], given.get("bias")
    groups = given.get("groups", args[_GROUPS] if len(args) > _GROUPS else 1)
    new_bias = shift if bias is None else bias.tensor.double() * scale + shift
    given["weight"] = Constant(scaled_weight(target, weight.tensor.double(), scale, groups).to(c.dtype), weight.name)
    given["bias"] = Constant(new_bias.to(c.dtype), f"{c.name}.bias")
    first = [given.pop(name) for name in ("input", "weight", "bias")]
    value: Value = TABLE[target](c, *first, *args[3:], **given)
    return value
