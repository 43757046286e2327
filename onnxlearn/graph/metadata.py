"""Writing the metadata document into a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onnx

from onnxlearn.errors import ExportError
from onnxlearn.metadata import CHECKSUM, KEY, NO_CHECKSUM, checksum, graph_bytes


def embed(model: onnx.ModelProto, document: Mapping[str, Any]) -> bytes:
    """The file's bytes: the model with the document as its only metadata; the model itself is left as it is.

    Equal models and documents give equal bytes.

    Raises: ExportError where the document is not plain, finite JSON.
    """
    bare = model
    if model.metadata_props:
        bare = onnx.ModelProto()
        bare.CopyFrom(model)
        del bare.metadata_props[:]
    return append_document(bare.SerializeToString(deterministic=True), document)


def append_document(data: bytes, document: Mapping[str, Any]) -> bytes:
    """The file's bytes, from those of a model without metadata: ``metadata_props["onnxlearn"]`` is the document.

    A checksum of both is added to the document.

    Raises: ExportError where the document is not plain, finite JSON.
    """
    document = {**document, CHECKSUM: NO_CHECKSUM}
    try:
        text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ExportError(f"the metadata has to be plain JSON without NaN or infinity: {error}") from error
    # With its key: a column may be called what it likes, but a quotation mark inside a name is escaped.
    text = text.replace(f'"{CHECKSUM}":"{NO_CHECKSUM}"', f'"{CHECKSUM}":"{checksum(graph_bytes(data), text)}"', 1)
    properties = onnx.ModelProto()
    onnx.helper.set_model_props(properties, {KEY: text})
    # One message after the other is both in one (https://protobuf.dev/programming-guides/encoding#last-one-wins), and
    # metadata stands after graph and opsets anyway.
    return data + bytes(properties.SerializeToString(deterministic=True))
