"""The way for networks that the table cannot lower: torch's own exporter, once per architecture."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from onnxlearn.errors import ExportError, MissingExtraError
from onnxlearn.graph.builder import BASE_OPSET, ML_DOMAIN, GraphBuilder, Value
from onnxlearn_models.training.tensors import arguments

# Graphs by architecture, without their own weights: an export takes seconds, and a resampling makes many of one architecture.
# Classes are part of the key themselves: two of one name may do different things.
_TEMPLATES: dict[tuple[str, tuple[type, ...]], onnx.GraphProto] = {}
_MAX_TEMPLATES = 16


def export(g: GraphBuilder, module: nn.Module, inputs: Mapping[str, Value], samples: Mapping[str, Tensor]) -> Value:
    """Add the nodes of a network in evaluation mode as ``torch.onnx.export`` makes them; the value of its output.

    The exported graph is kept by architecture and filled with the weights of later networks of the same architecture.
    Raises: ExportError where torch cannot export the network either, MissingExtraError without the package onnxscript.
    """
    state = {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}
    key = _fingerprint(module, samples), tuple(type(part) for part in module.modules())
    template = _TEMPLATES.get(key)
    if template is None:
        template = _export(module, samples)
        if _weights_go_by_name(template, state):
            if len(_TEMPLATES) >= _MAX_TEMPLATES:
                _TEMPLATES.pop(next(iter(_TEMPLATES)))
            _TEMPLATES[key] = template
    return _inline(g, template, inputs, state, samples)


def _export(module: nn.Module, samples: Mapping[str, Tensor]) -> onnx.GraphProto:
    if importlib.util.find_spec("onnxscript") is None:
        raise MissingExtraError.of("onnxscript", "train", "exporting this network")
    # torch.export takes a batch of 0 or 1 for a constant.
    rows = {name: tensor.new_zeros((2, *tensor.shape[1:])).cpu() for name, tensor in samples.items()}
    batch = torch.export.Dim("N")
    with _silence():
        try:
            # Without the optimizer the weights keep their names and values.
            shapes = arguments({name: {0: batch} for name in rows})
            program = torch.onnx.export(
                module.cpu(), (), kwargs=dict(arguments(rows)), dynamic_shapes=dict(shapes),
                input_names=_ordered(rows), dynamo=True,
                opset_version=BASE_OPSET, external_data=False, optimize=False, verbose=False,
            )  # fmt: skip
        except Exception as error:
            raise ExportError(f"torch.onnx cannot export {type(module).__name__}: {_root(error)}") from error
    assert program is not None
    return _checked(onnx.inliner.inline_local_functions(program.model_proto), module)


def _ordered(rows: Mapping[str, Tensor]) -> list[str]:
    """The names of what enters, in the order of the exporter's inputs."""
    given = arguments(rows)
    return [*(name for name in given if name != "columns"), *given.get("columns", {})]


def _root(error: BaseException) -> str:
    """What it was in the first place: what stands around it is advice on how to use the exporter."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _checked(model: onnx.ModelProto, module: nn.Module) -> onnx.GraphProto:
    """The graph, if a plain graph of operator set 18 holds it."""
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    foreign = {node.domain for node in model.graph.node} - {"", ML_DOMAIN}
    nested = [node.op_type for node in model.graph.node if any(a.HasField("g") or a.graphs for a in node.attribute)]
    if opset > BASE_OPSET or foreign or nested or len(model.graph.output) != 1:
        found = f"operator set {opset}, domains {sorted(foreign)}, control flow {nested}, {len(model.graph.output)} outputs"
        raise ExportError(f"{type(module).__name__} needs more than a plain ONNX graph of operator set {BASE_OPSET}: {found}")
    return model.graph


def _inline(
    g: GraphBuilder,
    graph: onnx.GraphProto,
    inputs: Mapping[str, Value],
    state: Mapping[str, Any],
    samples: Mapping[str, Tensor],
) -> Value:
    """Add the graph's nodes; initializers called like a weight take its value. Metadata and local paths stay behind.

    The nodes see a row of zeros more than there are: on an empty batch some of them fail in ONNX Runtime, or end the process.
    """
    zeros = {name: np.zeros((1, *tensor.shape[1:]), tensor.cpu().numpy().dtype) for name, tensor in samples.items()}
    values: dict[str, Value | None] = {"": None}
    values |= {name: g.op("Concat", value, g.const(zeros[name]), axis=0) for name, value in inputs.items()}
    for tensor in graph.initializer:
        array = state[tensor.name] if tensor.name in state else numpy_helper.to_array(tensor)
        values[tensor.name] = g.const(array, tensor.name)
    for node in _needed(graph):
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        sources = [values[name] for name in node.input]
        results = g.ops(node.op_type, *sources, n_outputs=len(node.output), domain=node.domain, **attributes)
        values.update(zip(node.output, results, strict=True))
    output = values[graph.output[0].name]
    first, last, axis = (g.const(np.array([i], np.int64)) for i in (0, -1, 0))
    return g.op("Slice", output, first, last, axis)


def _needed(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that the output depends on, in order."""
    wanted = {graph.output[0].name}
    kept = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def _weights_go_by_name(graph: onnx.GraphProto, state: Mapping[str, Any]) -> bool:
    """Whether every weight that is used is an initializer of its own name, so that another's can take its place."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    others = {array.tobytes() for name, array in found.items() if name not in state}
    return all(
        np.array_equal(found[name], array) if name in found else array.tobytes() not in others for name, array in state.items()
    )


def _fingerprint(module: nn.Module, samples: Mapping[str, Tensor]) -> str:
    """What two networks have in common that differ in nothing but the values of their weights."""
    parts = [f"{name}:{tensor.dtype}:{tuple(tensor.shape[1:])}" for name, tensor in samples.items()]
    parts += [f"{name}:{tensor.dtype}:{tuple(tensor.shape)}" for name, tensor in module.state_dict().items()]
    for name, part in module.named_modules():
        own = {key: value for key, value in vars(part).items() if not key.startswith("_")}
        parts.append(f"{name}={type(part).__module__}.{type(part).__qualname__}:{sorted(own.items())!r}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The exporter warns of its own inner affairs, and logs its attempts and what it thinks of the user's code."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
