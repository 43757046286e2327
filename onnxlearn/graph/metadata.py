"""Writing the metadata document into a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onnx

from onnxlearn.errors import ExportError
from onnxlearn.metadata import CHECKSUM, KEY, NO_CHECKSUM, checksum


def embed(model: onnx.ModelProto, document: Mapping[str, Any]) -> bytes:
    """The file's bytes: the model with the document as ``metadata_props["onnxlearn"]``; the model itself is left as it is.

    A checksum of both is added to the document.

    Equal models and documents give equal bytes.

    Raises: ExportError where the document is not plain, finite JSON.
    """
    graph = model.graph.SerializeToString(deterministic=True)
    document = {**document, CHECKSUM: NO_CHECKSUM}
    try:
        text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ExportError(f"the metadata has to be plain JSON without NaN or infinity: {error}") from error
    # With its key: a column may be called what it likes, but a quotation mark inside a name is escaped.
    text = text.replace(f'"{CHECKSUM}":"{NO_CHECKSUM}"', f'"{CHECKSUM}":"{checksum(graph, text)}"', 1)
    described = onnx.ModelProto()
    described.CopyFrom(model)
    onnx.helper.set_model_props(described, {KEY: text})
    return bytes(described.SerializeToString(deterministic=True))
