"""The torch.fx trace of a network, with what is known of every value in it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

# Two batch sizes tell the dimensions that follow the batch from those that do not.
_SAMPLE_ROWS = (2, 3)


class UnsupportedError(Exception):
    """The lowering table has no entry for something in the network."""


class _Tracer(fx.Tracer):
    """Traces through everything, also through ``torch.nn``, down to functions.

    BatchNorm is the exception: it looks at the number of dimensions, and it is folded as one.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del module_qualified_name
        return isinstance(m, (*BATCH_NORMS, nn.MultiheadAttention))

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        """A parameter as a node of the graph, one for all its uses: fx itself walks over all parameters at every use."""
        if not isinstance(attr_val, nn.Parameter):
            return super().getattr(attr, attr_val, parameter_proxy_cache)
        name = self._parameter_names.get(id(attr_val))
        if name is None:
            return attr_val
        if name not in parameter_proxy_cache:
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {})
        return parameter_proxy_cache[name]

    @functools.cached_property
    def _parameter_names(self) -> dict[int, str]:
        return {id(parameter): name for name, parameter in self.root.named_parameters()}


class Trace:
    """A traced network in evaluation mode: its graph, and for each node a sample result and its shape.

    ``inputs`` gives each ingress an example, whose width and type count; an argument of ``method`` that it lacks is ``None``.
    Raises: UnsupportedError where the network cannot be traced.
    """

    def __init__(self, module: nn.Module, inputs: Mapping[str, Tensor], method: str = "forward") -> None:
        self.module = module
        names = _argument_names(module, method)
        absent: dict[str, Any] = {name: None for name in names if name not in inputs}
        tracer = _Tracer()
        tracer.traced_func_name = method
        try:
            self.graph = tracer.trace(module, absent)
            self.dynamic = self._depending_on_inputs()
            self.samples = self._record(names, inputs, _SAMPLE_ROWS[0], {})
            # What does not depend on the inputs, mostly weights, is what it was.
            constant = {node: result for node, result in self.samples.items() if node not in self.dynamic}
            self._others = self._record(names, inputs, _SAMPLE_ROWS[1], constant)
        except Exception as error:
            # Whatever a network does with a proxy that it cannot do, the exporter may still be able to.
            raise UnsupportedError(f"torch.fx cannot trace it: {str(error).partition(chr(10))[0]}") from error
        placeholders = (node for node in self.graph.nodes if node.op == "placeholder")
        self.argument = dict(zip(placeholders, names, strict=True))

    def shape(self, node: fx.Node) -> tuple[int | None, ...]:
        """Shape of a tensor; ``None`` stands for what follows the batch."""
        return sample_shape(self.samples[node], self._others[node])

    def part_shape(self, node: fx.Node, index: int) -> tuple[int | None, ...]:
        """Shape of one of several tensors that a node gives."""
        return sample_shape(self.samples[node][index], self._others[node][index])

    def follows_batch(self, node: fx.Node) -> bool:
        """Whether a result that is no tensor changes with the number of rows."""
        return bool(self.samples[node] != self._others[node])

    def _record(
        self, names: list[str], inputs: Mapping[str, Tensor], rows: int, known: Mapping[fx.Node, Any]
    ) -> dict[fx.Node, Any]:
        """The result of every node for so many rows of zeros; those that are ``known`` are not computed again."""
        arguments = {name: inputs[name].new_zeros((rows, *inputs[name].shape[1:])) for name in inputs}
        runner = fx.Interpreter(self.module, garbage_collect_values=False, graph=self.graph)
        with torch.no_grad():
            runner.run(*map(arguments.get, names), initial_env=dict(known), enable_io_processing=False)
        return dict(runner.env)

    def _depending_on_inputs(self) -> set[fx.Node]:
        dynamic: set[fx.Node] = set()
        for node in self.graph.nodes:
            if node.op == "placeholder" or any(source in dynamic for source in node.all_input_nodes):
                dynamic.add(node)
        return dynamic


def sample_shape(one: Tensor, other: Tensor) -> tuple[int | None, ...]:
    """The shape that two samples of different batch size have in common.

    >>> sample_shape(torch.zeros(2, 5), torch.zeros(3, 5))
    (None, 5)
    """
    return tuple(a if a == b else None for a, b in zip(one.shape, other.shape, strict=True))


def _argument_names(module: nn.Module, method: str) -> list[str]:
    code = getattr(type(module), method).__code__
    return list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])
