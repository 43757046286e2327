"""A model repository for Triton Inference Server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from onnxlearn.export.names import served_name
from onnxlearn.export.target import Target
from onnxlearn.params import param
from onnxlearn.wire.examples import example_request

if TYPE_CHECKING:
    from onnxlearn.model import Model

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, kw_only=True)
class Triton(Target):
    """Target ``triton``: one model in a repository, which batches requests and serves several versions side by side.

    ``onnxruntime`` is the backend of Triton's usual images; ``python`` runs the same file where there is only that one, by
    a ``model.py`` that needs numpy and onnxruntime.
    """

    meaning: ClassVar[str] = "a model repository for Triton Inference Server, with batching, versions and labels"
    is_folder: ClassVar[bool] = True

    name: str | None = param(None, "name of the model in the server (None: that of the task)")
    version: int = param(1, "number of this version, the name of its folder", low=1)
    serve_versions: int = param(1, "how many of the newest versions in the folder are served", low=1)
    backend: Literal["onnxruntime", "python"] = param("onnxruntime", "Triton's backend that runs the file")
    max_batch: int | None = param(None, "most rows of a request, and of requests together (None: the file's chunk_rows)", low=1)
    max_delay: int = param(0, "microseconds that a request may wait for others; with 0 they meet while a model is busy", low=0)
    instances: int = param(1, "copies of the model that run side by side", low=1)
    device: Device = param("cpu", "where they run; text stays on the CPU even so")

    def write(self, model: Model, out: Path) -> list[str]:
        """Write the repository."""
        name = served_name(model, self.name)
        folder = out / name
        version = folder / str(self.version)
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(model.to_bytes())
        if self.backend == "python":
            from onnxlearn.hosts import triton

            shutil.copyfile(triton.__file__, version / "model.py")
        labels = write_labels(model, folder)
        (folder / "config.pbtxt").write_text(self._config(model, name, labels), encoding="utf-8")
        (out / "request.json").write_text(json.dumps(example_request(model.schema), indent=2, ensure_ascii=False) + "\n", "utf-8")
        return [
            "serve it: tritonserver --model-repository=FOLDER",
            f"ask it: curl -d @FOLDER/request.json localhost:8000/v2/models/{name}/infer",
        ]

    def _config(self, model: Model, name: str, labels: str) -> str:
        parts = [
            f"name: {quoted(name)}",
            f"backend: {quoted(self.backend)}",
            f"max_batch_size: {self.max_batch or model.chunk_rows}",
            *(tensor("input", column.name, column.onnx_type, (1,)) for column in model.schema.features),
            *(
                tensor("output", output.name, output.type, output.row_shape, labels if output.name == "probabilities" else "")
                for output in model.outputs.values()
            ),
            f"version_policy {{ latest {{ num_versions: {self.serve_versions} }} }}",
            f"dynamic_batching {{ max_queue_delay_microseconds: {self.max_delay} }}",
            f"instance_group [ {{ count: {self.instances} kind: KIND_{self.device.upper()} }} ]",
            one_thread() if self.backend == "onnxruntime" else "",
            warmup([(column.name, column.onnx_type) for column in model.schema.features]),
        ]
        return "\n".join(filter(None, parts)) + "\n"


def tensor(role: str, name: str, onnx_type: str, row_shape: Sequence[int], label_file: str = "") -> str:
    """An input or output of a config; one without an axis beside the rows has one of length 1 for clients.

    >>> print(tensor("output", "label", "STRING", ()))
    output { name: "label" data_type: TYPE_STRING dims: [ 1 ] reshape { shape: [ ] } }
    """
    dims = f"dims: [ {', '.join(map(str, row_shape or (1,)))} ]" + ("" if row_shape else " reshape { shape: [ ] }")
    labels = f" label_filename: {quoted(label_file)}" if label_file else ""
    return f"{role} {{ name: {quoted(name)} data_type: {data_type(onnx_type)} {dims}{labels} }}"


def data_type(onnx_type: str) -> str:
    """Triton's name of an element type."""
    return "TYPE_" + {"DOUBLE": "FP64", "FLOAT": "FP32"}.get(onnx_type, onnx_type)


def one_thread() -> str:
    """Runs of a single thread: instances share the cores, as onnxlearn's own sessions do."""
    return 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }'


def warmup(inputs: Sequence[tuple[str, str]]) -> str:
    """One row of zeros and empty texts before the first request, which would pay for what is set up at first use."""
    zeros = (
        f"inputs {{ key: {quoted(name)} value {{ data_type: {data_type(onnx_type)} dims: [ 1 ] zero_data: true }} }}"
        for name, onnx_type in inputs
    )
    return "model_warmup [ {\n" + "\n".join(['name: "one row" batch_size: 1', *zeros]) + "\n} ]"


def quoted(text: str) -> str:
    """A text as protobuf's text format has it.

    >>> print(quoted('a "b"'))
    "a \\"b\\""
    """
    return json.dumps(text, ensure_ascii=False)


def write_labels(model: Model, folder: Path) -> str:
    """The classes, one a line in the order of the probabilities, for Triton's classification; the file's name, or nothing."""
    lines = [str(label) for label in model.schema.target.classes]
    if not lines or any("\n" in line or "\r" in line for line in lines):
        return ""
    (folder / "labels.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return "labels.txt"
