"""What a model can be written as: one class a target, its fields the target's options."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from onnxlearn.errors import UnknownNameError
from onnxlearn.files.outputs import atomic_folder, atomic_path
from onnxlearn.params import build_configs

if TYPE_CHECKING:
    from onnxlearn.model import Model

TARGETS = {
    "fp16": "onnxlearn.export.fp16:Fp16",
    "int8": "onnxlearn.export.int8:Int8",
    "onnx": "onnxlearn.export.onnx_file:OnnxFile",
    "encoded": "onnxlearn.export.encoded:Encoded",
    "triton": "onnxlearn.export.triton:Triton",
    "mlflow": "onnxlearn.export.mlflow_folder:MLflowFolder",
    "kserve": "onnxlearn.export.kserve:KServe",
    "python": "onnxlearn.export.clients.python:PythonClient",
    "node": "onnxlearn.export.clients.node:NodeClient",
    "c": "onnxlearn.export.clients.c:CClient",
    "java": "onnxlearn.export.clients.java:JavaClient",
    "csharp": "onnxlearn.export.clients.csharp:CSharpClient",
    "web": "onnxlearn.export.web.page:Web",
}
"""The targets by name: where each class stands, which is imported when it is asked for."""


OUT = "{out}"
"""Stands in a target's lines for the place that the user named, which the target itself does not see."""


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """A form of a model for somebody who knows nothing of onnxlearn; its fields, made by ``param``, are its options.

    ``is_folder``: whether it is a folder or a file. ``takes_images``: whether models
    with columns of images can be written so. What it needs beside the core is imported inside :meth:`write`, and proven
    by its real consumer in the tests.
    """

    meaning: ClassVar[str]
    is_folder: ClassVar[bool] = False
    takes_images: ClassVar[bool] = False

    def place(self, out: Path) -> AbstractContextManager[Path]:
        """Where to write: what is there takes the place of ``out`` when the block ends without an error.

        Raises: OutputError.
        """
        return (atomic_folder if self.is_folder else atomic_path)(out)

    @abstractmethod
    def write(self, model: Model, out: Path) -> list[str]:
        """Write the file ``out``, or the files in the new, empty folder ``out``; lines that tell the user of it.

        What was written has been compared with the model. Raises: ParameterError, MissingExtraError, ParityError.
        """


def target_class(name: str) -> type[Target]:
    """The class of a target. Raises: UnknownNameError."""
    if name not in TARGETS:
        raise UnknownNameError.of("target", name, TARGETS)
    module, _, cls = TARGETS[name].partition(":")
    found: type[Target] = getattr(importlib.import_module(module), cls)
    return found


def make_target(name: str, /, **options: Any) -> Target:
    """A target with its options.

    >>> vars(make_target("onnx", opset=20, rank=1))["opset"]
    20

    Raises: UnknownNameError; ParameterError for an option that it has not, or a value that is none.
    """
    (made,) = build_configs([target_class(name)], options, owner=f"target {name!r}")
    assert isinstance(made, Target)
    return made
