"""Writing the metadata document into a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import onnx

from onnxlearn.errors import ExportError
from onnxlearn.metadata import CHECKSUM, KEY


def embed(model: onnx.ModelProto, document: Mapping[str, Any]) -> bytes:
    """The file's bytes: the model with the document as ``metadata_props["onnxlearn"]``; the model itself is left as it is.

    The graph's checksum is added to the document.

    Equal models and documents give equal bytes.

    Raises: ExportError where the document is not plain, finite JSON.
    """
    graph = model.graph.SerializeToString(deterministic=True)
    document = {**document, CHECKSUM: hashlib.sha256(graph).hexdigest()}
    try:
        text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ExportError(f"the metadata has to be plain JSON without NaN or infinity: {error}") from error
    described = onnx.ModelProto()
    described.CopyFrom(model)
    onnx.helper.set_model_props(described, {KEY: text})
    return bytes(described.SerializeToString(deterministic=True))
