"""The torch.fx trace of a network, with what is known of every value in it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import operator
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from onnxlearn.memo import Memo
from onnxlearn_models.layers.recurrent import PackedRecurrent
from onnxlearn_models.training.tensors import arguments

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LEAVES = (
    *BATCH_NORMS, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.RNN, nn.GRU, nn.LSTM, PackedRecurrent,
    nn.MultiheadAttention,
)  # fmt: skip
"""Modules that are lowered as one: they look at the number of dimensions, which a trace does not know."""

# Two batch sizes tell the dimensions that follow the batch from those that do not.
_SAMPLE_ROWS = (2, 3)


class UnsupportedError(Exception):
    """The lowering table has no entry for something in the network."""


class _Tracer(fx.Tracer):
    """Traces through everything, also through ``torch.nn``, down to functions and to ``LEAVES``."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        del module_qualified_name
        return type(m) in LEAVES or _is_batch_norm(m)

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


def _is_batch_norm(m: nn.Module) -> bool:
    """Whether it computes what a batch norm does: ours differ in training alone, those of others may do more."""
    own = type(m).__module__.partition(".")[0] == __name__.partition(".")[0]
    return isinstance(m, BATCH_NORMS) and (own or type(m).forward is nn.BatchNorm1d.forward)


@dataclass(frozen=True)
class _Course:
    """What the traces of all networks of one architecture have in common: all but their weights.

    ``argument``: the ingress of each placeholder. ``dynamic``: the nodes that depend on the inputs; of each of these the result
    for some rows in ``samples``, and for more rows in ``others``, tensors without their values.
    """

    graph: fx.Graph
    argument: dict[fx.Node, str]
    dynamic: frozenset[fx.Node]
    samples: dict[fx.Node, Any]
    others: dict[fx.Node, Any]

    @property
    def holds_values(self) -> bool:
        """Whether tracing computed something of a tensor: it is in the graph as it was for that one network."""
        return any(node.op == "get_attr" and "_tensor_constant" in str(node.target) for node in self.graph.nodes)


# Tracing takes longer than all the rest of an export, and a resampling exports many networks of one architecture.
_COURSES: Memo[_Course] = Memo()


class Trace:
    """A traced network in evaluation mode: its graph, and for each node a sample result and its shape.

    ``inputs`` gives each ingress an example, whose width and type count; an argument of ``method`` that it lacks is ``None``.
    Networks that differ in nothing but their weights are traced once.

    Raises: UnsupportedError where the network cannot be traced.
    """

    def __init__(self, module: nn.Module, inputs: Mapping[str, Tensor], method: str = "forward") -> None:
        self.module = module
        try:
            course = _course(module, inputs, method)
            constants = _constants(module, course.graph, course.dynamic)
        except Exception as error:
            # Whatever a network does with a proxy that it cannot do, the exporter may still be able to.
            raise UnsupportedError(f"torch.fx cannot trace it: {str(error).partition(chr(10))[0]}") from error
        self.graph, self.argument, self.dynamic = course.graph, course.argument, course.dynamic
        self.samples = constants | course.samples
        # What does not depend on the inputs, mostly weights, is the same for any number of rows.
        self._others = constants | course.others

    def shape(self, node: fx.Node) -> tuple[int | None, ...]:
        """Shape of a tensor; ``None`` stands for what follows the batch."""
        return sample_shape(self.samples[node], self._others[node])

    def shapes(self, node: fx.Node) -> dict[str, tuple[int | None, ...]]:
        """Shapes of tensors that are given by name."""
        return {name: sample_shape(one, self._others[node][name]) for name, one in self.samples[node].items()}

    def pair(self, node: fx.Node) -> tuple[Any, Any]:
        """The results for two numbers of rows."""
        return self.samples[node], self._others[node]

    def follows_batch(self, node: fx.Node) -> bool:
        """Whether a result that is no tensor changes with the number of rows."""
        return bool(self.samples[node] != self._others[node])


def sample_shape(one: Tensor, other: Tensor) -> tuple[int | None, ...]:
    """The shape that two samples of different batch size have in common.

    >>> sample_shape(torch.zeros(2, 5), torch.zeros(3, 5))
    (None, 5)
    """
    return tuple(a if a == b else None for a, b in zip(one.shape, other.shape, strict=True))


def is_ingress(node: fx.Node) -> bool:
    """Whether it is what enters the network, or one of several tensors that enter by name."""
    if node.op == "placeholder":
        return True
    return node.target is operator.getitem and isinstance(node.args[1], str) and node.args[0].op == "placeholder"  # type: ignore[union-attr]


def _course(module: nn.Module, inputs: Mapping[str, Tensor], method: str) -> _Course:
    """A trace of the network, or of another one of its architecture."""
    key = _architecture(module, inputs, method)
    if key is not None:
        course = _COURSES.get(key, lambda: _follow(module, inputs, method))
        if not course.holds_values:
            return course
    return _follow(module, inputs, method)


def _follow(module: nn.Module, inputs: Mapping[str, Tensor], method: str) -> _Course:
    """Trace a network. Raises whatever it does with a proxy that it cannot do."""
    names = _argument_names(module, method)
    absent: dict[str, Any] = {name: None for name in names if name not in _given(inputs, names)}
    tracer = _Tracer()
    tracer.traced_func_name = method
    with _no_fast_path():
        graph = tracer.trace(module, absent)
    dynamic = _depending_on_inputs(graph)
    constants = _constants(module, graph, dynamic)

    def record(n_rows: int) -> dict[fx.Node, Any]:
        """The result of every node that depends on the inputs, for so many rows of zeros."""
        zeros = {name: tensor.new_zeros((n_rows, *tensor.shape[1:])) for name, tensor in inputs.items()}
        given = _given(zeros, names)
        runner = fx.Interpreter(module, garbage_collect_values=False, graph=graph)
        with torch.no_grad():
            runner.run(*map(given.get, names), initial_env=dict(constants), enable_io_processing=False)
        return {node: map_aggregate(runner.env[node], _without_values) for node in dynamic}

    placeholders = (node for node in graph.nodes if node.op == "placeholder")
    argument = dict(zip(placeholders, names, strict=True))
    return _Course(graph, argument, dynamic, *map(record, _SAMPLE_ROWS))


@contextlib.contextmanager
def _no_fast_path() -> Iterator[None]:
    """Layers of transformers have a way of their own in evaluation, which asks what a trace does not know."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _without_values(sample: Any) -> Any:
    """A tensor of the same type and shape in the memory of one number: what is known of a result is kept for long."""
    return sample.new_zeros(()).expand(sample.shape) if isinstance(sample, Tensor) else sample


def _depending_on_inputs(graph: fx.Graph) -> frozenset[fx.Node]:
    dynamic: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(source in dynamic for source in node.all_input_nodes):
            dynamic.add(node)
    return frozenset(dynamic)


@torch.no_grad()
def _constants(module: nn.Module, graph: fx.Graph, dynamic: frozenset[fx.Node]) -> dict[fx.Node, Any]:
    """The result of every node that does not depend on the inputs: this network's weights, and what is made of them."""
    runner = fx.Interpreter(module, garbage_collect_values=False, graph=graph)
    for node in graph.nodes:
        if node not in dynamic:
            runner.env[node] = runner.run_node(node)
    return runner.env


def _given(inputs: Mapping[str, Tensor], names: list[str]) -> Mapping[str, Any]:
    """The arguments of these names: what enters by its own, or with others in ``columns``."""
    return inputs if set(inputs) <= set(names) else arguments(inputs)


def _argument_names(module: nn.Module, method: str) -> list[str]:
    code = getattr(type(module), method).__code__
    return list(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])


# Their networks are written to be traced: no branch depends on a value of a tensor (design.md, section 6).
_TRACEABLE = ("onnxlearn_models", "torch")
# The last two are weights once more, of recurrent modules.
_OF_EVERY_MODULE = frozenset(vars(nn.Module())) | {"_flat_weights", "_flat_weight_refs"}


def _architecture(module: nn.Module, inputs: Mapping[str, Tensor], method: str) -> Hashable | None:
    """All that a trace depends on: two networks for which it is equal differ in nothing but the values of their weights.

    ``None`` where there may be more than can be seen: in other people's classes, and in attributes that are no plain values.
    """
    parts = list(module.named_modules(remove_duplicate=False))
    if not all(_is_traceable(part) for _, part in parts):
        return None
    try:
        attributes = [(name, part.training, type(part), type(part).forward, _plain(_own(part))) for name, part in parts]
    except TypeError:
        return None
    tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    # Under which name it came first: a tensor may have several.
    first: dict[int, str] = {}
    weights = [(name, first.setdefault(id(tensor), name), tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors]
    rows = [(name, tensor.dtype, tuple(tensor.shape[1:])) for name, tensor in inputs.items()]
    return method, tuple(rows), tuple(weights), tuple(attributes)


def _is_traceable(part: nn.Module) -> bool:
    """Whether a trace of it depends on nothing but what can be seen."""
    hooked = part._forward_hooks or part._forward_pre_hooks
    return type(part).__module__.partition(".")[0] in _TRACEABLE and not hooked


def _own(part: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(part).items() if name not in _OF_EVERY_MODULE}


def _plain(value: Any) -> Hashable:
    """The value such that equal ones are the same to a trace. Raises: TypeError for what cannot be compared."""
    if value is None or type(value) in (bool, int, float, str):
        # 1, 1.0 and True are equal to Python; 0.0 and -0.0 as well.
        return repr(value)
    if type(value) in (list, tuple):
        return type(value), tuple(map(_plain, value))
    if type(value) is dict:
        return tuple((_plain(key), _plain(each)) for key, each in value.items())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value), _plain(vars(value))
    if isinstance(value, BuiltinFunctionType | torch.dtype) or (isinstance(value, FunctionType) and not value.__closure__):
        return value
    raise TypeError(f"{type(value).__name__} is no plain value")
