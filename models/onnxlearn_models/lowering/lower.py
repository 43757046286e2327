"""Lower a network to ONNX: walk its trace and look every function up in the table."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from onnxlearn.errors import ExportError
from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn_models.lowering.folding import foldable, folded
from onnxlearn_models.lowering.functions import TABLE
from onnxlearn_models.lowering.operand import Constant, Context, Traced, Varying
from onnxlearn_models.lowering.trace import LEAVES, Trace, UnsupportedError, is_ingress, sample_shape
from onnxlearn_models.training.tensors import arguments

MAIN_OUTPUT = "output"


def lower(g: GraphBuilder, module: nn.Module, inputs: Mapping[str, Value], samples: Mapping[str, Tensor]) -> Value:
    """Add the nodes of a network in evaluation mode; the value of its output.

    ``samples``: for each ingress a tensor of any number of rows, whose width and type count. Nothing is added where the
    table lacks an entry.

    Raises: UnsupportedError naming what the table lacks.
    """
    return _lower(g, Trace(module, samples), inputs)[MAIN_OUTPUT].value


def emit_outputs(
    g: GraphBuilder, module: nn.Module, inputs: Mapping[str, Value], samples: Mapping[str, Tensor]
) -> dict[str, Traced]:
    """As :func:`lower`, with every output by name: ``output``, and what a method ``outputs`` gives beside it.

    Each with its shape, in which ``None`` follows the batch. Networks that the table cannot lower go through torch's exporter,
    which takes seconds.

    Raises: ExportError where torch cannot export the network either, and where the table cannot lower further outputs.
    """
    try:
        return _lower(g, Trace(module, samples, "outputs" if hasattr(module, "outputs") else "forward"), inputs)
    except UnsupportedError as error:
        if not hasattr(module, "outputs"):
            return {MAIN_OUTPUT: _export(g, module, inputs, samples)}
        raise ExportError(
            f"{type(module).__name__} has outputs of its own, which only the lowering table takes: {error}"
        ) from error


def _export(g: GraphBuilder, module: nn.Module, inputs: Mapping[str, Value], samples: Mapping[str, Tensor]) -> Traced:
    # Imported only here: it needs onnx's own tools, and torch's exporter at first use.
    from onnxlearn_models.lowering.export import export

    value = export(g, module, inputs, samples)
    with torch.no_grad():
        sample = module(**arguments(samples))
    return Traced(value, sample, (None, *sample.shape[1:]))


def _lower(g: GraphBuilder, trace: Trace, inputs: Mapping[str, Value]) -> dict[str, Traced]:
    missing = sorted({name for node in trace.graph.nodes if (name := _missing(trace, node))})
    if missing:
        raise UnsupportedError(f"no lowering for {', '.join(missing)}")
    with g.all_or_nothing():
        return _Walk(g, trace).run(inputs)


class _Walk:
    """One pass over a trace."""

    def __init__(self, g: GraphBuilder, trace: Trace) -> None:
        self.g, self.trace = g, trace
        self.env: dict[fx.Node, Any] = {}
        self.folded = foldable(trace)

    def run(self, inputs: Mapping[str, Value]) -> dict[str, Traced]:
        """The network's outputs by name."""
        for node in self.trace.graph.nodes:
            if node.op == "output":
                found = self._argument(node.args[0])
                context = Context(self.g, self.trace.samples[node], self.batch)
                named = found if isinstance(found, dict) else {MAIN_OUTPUT: found}
                return {name: Traced(context.value(each), each.sample, each.shape) for name, each in named.items()}
            if node.op == "placeholder":
                self._placeholder(node, inputs)
            elif node not in self.folded:
                self.env[node] = self._result(node)
        raise AssertionError("a trace ends with its output")

    @property
    def batch(self) -> Value:
        """An ingress: what the number of rows is read from."""
        given = (each for value in self.env.values() for each in (value.values() if isinstance(value, dict) else [value]))
        return next(each.value for each in given if isinstance(each, Traced))

    def _placeholder(self, node: fx.Node, inputs: Mapping[str, Value]) -> None:
        samples = self.trace.samples[node]
        if isinstance(samples, Mapping):
            shapes = self.trace.shapes(node)
            self.env[node] = {name: Traced(inputs[name], sample, shapes[name]) for name, sample in samples.items()}
        elif samples is not None:
            # An absent ingress is None, and nothing reads it.
            self.env[node] = Traced(inputs[self.trace.argument[node]], samples, self.trace.shape(node))

    def _result(self, node: fx.Node) -> Any:
        if is_ingress(node):
            return self.env[node.args[0]][node.args[1]]  # type: ignore[index]
        sample = self.trace.samples[node]
        if node not in self.trace.dynamic:
            return Constant(sample, str(node.target)) if isinstance(sample, Tensor) else sample
        if not _holds_tensors(sample):
            return Varying() if self.trace.follows_batch(node) else sample
        shape = self.trace.shape(node) if isinstance(sample, Tensor) else ()
        context = Context(self.g, sample, self.batch, shape, str(node.target), _unread(node, sample))
        return _traced(self._lowered(node, context), *self.trace.pair(node))

    def _lowered(self, node: fx.Node, context: Context) -> Any:
        """Values of the graph, as what the node gives is made up."""
        if node.op == "call_module":
            module, source = self.trace.module.get_submodule(str(node.target)), node.all_input_nodes[0]
            if source in self.folded:
                return folded(context, module, source.target, *self._argument((source.args, source.kwargs)))
            args, kwargs = self._argument((node.args, node.kwargs))
            return TABLE[_leaf(module)](context, module, *args, **kwargs)
        args, kwargs = self._argument((node.args, node.kwargs))
        return TABLE[node.target](context, *args, **kwargs)

    def _argument(self, argument: Any) -> Any:
        return map_arg(argument, self.env.get)


def _traced(result: Any, one: Any, other: Any) -> Any:
    """Values with their samples, in tuples as they are."""
    if isinstance(result, tuple):
        return tuple(map(_traced, result, one, other))
    return Traced(result, one, sample_shape(one, other)) if isinstance(result, Value) else result


def _unread(node: fx.Node, sample: Any) -> frozenset[int]:
    """The parts of a result of several that nothing reads."""
    if not isinstance(sample, tuple) or any(user.target is not operator.getitem for user in node.users):
        return frozenset()
    return frozenset(range(len(sample))) - {user.args[1] for user in node.users}


def _leaf(module: nn.Module) -> type[nn.Module]:
    """The class by which the table knows a module."""
    return next(kind for kind in LEAVES if isinstance(module, kind))


def _missing(trace: Trace, node: fx.Node) -> str | None:
    """Name of what the table lacks to lower this node."""
    if node not in trace.dynamic or node.op in ("placeholder", "output") or not _holds_tensors(trace.samples[node]):
        return None
    if _changes_shared_value(node):
        return f"{node.name} in place"
    return None if node.op == "call_module" or node.target in TABLE else str(node.target)


def _changes_shared_value(node: fx.Node) -> bool:
    """Whether the node writes into a value that something else reads as well."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    in_place = bool(node.kwargs.get("inplace")) or (name.endswith("_") and not name.endswith("__"))
    return in_place and any(len(source.users) > 1 or is_ingress(source) for source in node.all_input_nodes)


def _holds_tensors(sample: Any) -> bool:
    return isinstance(sample, Tensor) or (isinstance(sample, tuple | list) and any(isinstance(part, Tensor) for part in sample))
