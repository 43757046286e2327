"""Writing the metadata document into a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onnx

from onnxlearn.errors import ExportError
from onnxlearn.metadata import CHECKSUM, KEY, NO_CHECKSUM, checksum, graph_bytes, read_schema
from onnxlearn.self_test import KEY as SELF_TEST
from onnxlearn.self_test import record
from onnxlearn.signature import main_outputs


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


def embed_tested(model: onnx.ModelProto, document: Mapping[str, Any]) -> bytes:
    """As :func:`embed`, for a model that was changed: where the document has a self-test, with what the model gives for it.

    A model without the outputs that onnxlearn needs has no self-test.

    Raises: ExportError, ModelFileError.
    """
    from onnxlearn.model import Model

    bare = {key: value for key, value in document.items() if key != SELF_TEST}
    data = embed(model, bare)
    schema = read_schema(bare)
    if SELF_TEST not in document or not {*main_outputs(schema)} <= {output.name for output in model.graph.output}:
        return data
    return embed(model, {**bare, SELF_TEST: record(schema, Model(data, provider="cpu", trust=True).predict_feeds)})


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
