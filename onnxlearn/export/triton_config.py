"""The text of Triton's ``config.pbtxt``: protobuf's text format of its ``ModelConfig``.

Source: https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Element type and shape of a row.
Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, kw_only=True)
class Served:
    """One model of a repository: its name there, what goes in and what comes out."""

    name: str
    inputs: Tensors
    outputs: Tensors

    def seen(self) -> Served:
        """As clients and ensembles see it: no tensor is without an axis beside the rows."""
        inputs, outputs = (
            {name: (kind, row_shape or (1,)) for name, (kind, row_shape) in tensors.items()}
            for tensors in (self.inputs, self.outputs)
        )
        return Served(name=self.name, inputs=inputs, outputs=outputs)

    def lines(self, label_file: str = "") -> list[str]:
        """Name, inputs and outputs; ``label_file`` names the columns of the probabilities."""
        labels = {"probabilities": label_file}
        return [
            f"name: {quoted(self.name)}",
            *(tensor("input", name, *told) for name, told in self.inputs.items()),
            *(tensor("output", name, *told, labels.get(name, "")) for name, told in self.outputs.items()),
        ]


def tensor(role: str, name: str, onnx_type: str, row_shape: Sequence[int], label_file: str = "") -> str:
    """An input or output; one without an axis beside the rows has one of length 1 for clients.

    >>> print(tensor("output", "label", "STRING", ()))
    output { name: "label" data_type: TYPE_STRING dims: [ 1 ] reshape { shape: [ ] } }
    """
    labels = f" label_filename: {quoted(label_file)}" if label_file else ""
    reshape = "" if row_shape else " reshape { shape: [ ] }"
    return f"{role} {{ name: {quoted(name)} data_type: {data_type(onnx_type)} {_dims(row_shape)}{reshape}{labels} }}"


def versions(n: int) -> str:
    """The newest versions are served."""
    return f"version_policy {{ latest {{ num_versions: {n} }} }}"


def batching(max_delay: int) -> str:
    """Requests that wait are run together; ``max_delay``: microseconds that one waits for others."""
    return f"dynamic_batching {{ max_queue_delay_microseconds: {max_delay} }}"


def instances(n: int, device: str) -> str:
    """Copies of a model on ``cpu`` or ``gpu``."""
    return f"instance_group [ {{ count: {n} kind: KIND_{device.upper()} }} ]"


def one_thread() -> str:
    """Runs of the backend onnxruntime have one thread: instances share the cores, as sessions of onnxlearn do."""
    return 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }'


def warmup(inputs: Tensors) -> str:
    """One row of zeros and empty texts before the first request, which would pay for what is set up at first use."""
    zeros = (
        f"  inputs {{ key: {quoted(name)} value {{ data_type: {data_type(kind)} {_dims(row_shape)} zero_data: true }} }}"
        for name, (kind, row_shape) in inputs.items()
    )
    return "\n".join(["model_warmup [ {", '  name: "one row"', "  batch_size: 1", *zeros, "} ]"])


def step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """A step of an ensemble: the model's tensors and what they are called in the ensemble."""
    maps = [("input_map", inputs), ("output_map", outputs)]
    pairs = [
        f"    {role} {{ key: {quoted(key)} value: {quoted(value)} }}" for role, pairs in maps for key, value in pairs.items()
    ]
    return "\n".join([f"  step {{ model_name: {quoted(model)} model_version: -1", *pairs, "  }"])


def data_type(onnx_type: str) -> str:
    """Triton's name of an element type."""
    return "TYPE_" + {"DOUBLE": "FP64", "FLOAT": "FP32"}.get(onnx_type, onnx_type)


def quoted(text: str) -> str:
    r"""A text as the text format has it.

    >>> print(quoted('a "b"'))
    "a \"b\""
    """
    return json.dumps(text, ensure_ascii=False)


def _dims(row_shape: Sequence[int]) -> str:
    return f"dims: [ {', '.join(map(str, row_shape or (1,)))} ]"
