"""A file for a device that has no text: preprocessing, the network without text, and the names of its classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from onnxlearn.graph.outputs import look_up
from onnxlearn.graph.split import split


@dataclass(frozen=True, kw_only=True)
class Apart:
    """``prep`` gives what ``net`` takes, at most one tensor of numbers and one of codes.

    ``names``: the classes ``[C]`` where the file's ``label`` is text; that of ``net`` is then INT64 positions among them.
    """

    prep: bytes
    net: bytes
    names: np.ndarray[tuple[int], np.dtype[Any]] | None


def apart(data: bytes) -> Apart:
    """A file's bytes in two, to be run one after the other.

    Raises: ExportError where something else than numbers and codes goes from one to the other.
    """
    halves = split(onnx.load_from_string(data))
    label = next((output for output in halves.net.graph.output if output.name == "label"), None)
    is_text = label is not None and label.type.tensor_type.elem_type == TensorProto.STRING
    classes = look_up(halves.net) if is_text else None
    names = None if classes is None else np.array([_text(name) for name in numpy_helper.to_array(classes)], object)
    return Apart(prep=halves.prep.SerializeToString(), net=halves.net.SerializeToString(), names=names)


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
