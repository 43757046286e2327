"""What a model file says of itself: the JSON document under ``metadata_props["onnxlearn"]``.

Only the outermost layer of the file's protobuf encoding is read, so this needs neither onnx nor ONNX Runtime.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from onnxlearn.document_rules import document_mistake
from onnxlearn.errors import ModelFileError
from onnxlearn.schema import Schema
from onnxlearn.schema_rules import schema_mistake

FORMAT_VERSION = 1
KEY = "onnxlearn"
CHECKSUM = "sha256"
NO_CHECKSUM = "0" * 64
MAX_DOCUMENT = 2**24
"""The most characters of the document: room for some 100,000 columns or 500,000 levels, read in seconds."""
REQUIRED = ("schema", "learner", "training", "versions")

# Field numbers of ModelProto and StringStringEntryProto in onnx.proto.
_IR_VERSION, _GRAPH, _METADATA_PROPS = 1, 7, 14
_MAX_FIELD = 26
# Of a whole model: a graph, domains, entries of metadata.
_MAX_FIELDS = 10_000
# Of GraphProto and TensorProto, and the types of TensorProto that weights have; int64 is for shapes and codes.
_INITIALIZER, _DIMS, _DATA_TYPE = 5, 1, 2
_WEIGHT_TYPES = {1: "float32", 2: "uint8", 3: "int8", 10: "float16", 11: "float64", 16: "bfloat16"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_metadata(data: bytes, *, source: str = "the file", verify: bool = True) -> dict[str, Any]:
    """The metadata document of a model file.

    ``source`` names the file in messages; ``verify``: hold its checksum against its bytes.

    Raises: ModelFileError where the bytes are no ONNX model, are cut off, are not a model of onnxlearn, or are of a format
    that this version does not know.
    """
    if not data:
        raise ModelFileError(f"{source} is empty: it is not a model; fit one with 'onnxlearn fit' or Learner.fit")
    properties = read_properties(data, source=source)
    if KEY not in properties:
        raise ModelFileError(
            f"{source} is an ONNX model, but not one of onnxlearn: it has no metadata {KEY!r}, so no schema that tells which "
            "columns it takes; run it with onnxruntime.InferenceSession"
        )
    text = properties[KEY]
    document = parse_document(text, source=source)
    told = document.get(CHECKSUM) if verify else None
    if told is not None and told != checksum(graph_bytes(data), text.replace(str(told), NO_CHECKSUM, 1)):
        raise ModelFileError(
            f"{source} is damaged, or was changed by another program: it is not the file that was checked; copy it again, or "
            "run it with onnxruntime.InferenceSession"
        )
    return document


def checksum(graph: bytes | memoryview, text: str) -> str:
    """SHA-256 of a graph's bytes and the document's text, in which zeros stand in the checksum's place; 64 digits."""
    import hashlib

    digest = hashlib.sha256(graph)
    digest.update(text.encode())
    return digest.hexdigest()


def parse_document(text: str, *, source: str = "the file") -> dict[str, Any]:
    """The document from its JSON text, with its version and its parts checked."""
    if len(text) > MAX_DOCUMENT:
        raise ModelFileError(f"{source} is refused: its metadata has {len(text)} characters, more than {MAX_DOCUMENT}")
    try:
        document: dict[str, Any] = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_once
        )
    except RecursionError as error:
        raise ModelFileError(f"{source} is damaged: its metadata is nested too deeply") from error
    except ValueError as error:
        raise ModelFileError(f"{source} is damaged: its metadata is not JSON ({error})") from error
    version = document.get("format_version") if isinstance(document, dict) else None
    if type(version) is not int:
        raise ModelFileError(f"{source} is damaged: its metadata has no format_version")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{source} has format version {version}, this onnxlearn reads up to {FORMAT_VERSION}: pip install -U onnxlearn"
        )
    missing = [name for name in REQUIRED if not isinstance(document.get(name), dict)]
    if missing:
        raise ModelFileError(f"{source} is damaged: its metadata has no {missing[0]!r}")
    if (mistake := document_mistake(document)) is not None:
        raise ModelFileError(f"{source} is damaged: its metadata: {mistake}")
    return document


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is no number of 64 bits")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; readers differ in which one they take of several entries with the same key."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it has the same key twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def read_schema(document: dict[str, Any], *, source: str = "the file") -> Schema:
    """The schema of a metadata document. Raises: ModelFileError where it breaks a rule of the format."""
    if (mistake := schema_mistake(document.get("schema"))) is not None:
        raise ModelFileError(f"{source} is damaged: its schema cannot be read: {mistake}")
    return Schema.from_dict(document["schema"])


def read_chunk_rows(document: dict[str, Any], *, source: str = "the file") -> int | None:
    """The most rows that a file wants to be run on at a time, ``None`` where its document does not tell."""
    told: int | None = document.get("chunk_rows")
    if told is not None and (type(told) is not int or told < 1):
        raise ModelFileError(f"{source} is damaged: its chunk_rows is {told!r}, not a number of rows")
    return told


def read_properties(data: bytes, *, source: str = "the file") -> dict[str, str]:
    """``metadata_props`` of the bytes of an ONNX model."""
    properties: dict[str, str] = {}
    fields: set[int] = set()
    try:
        for n_fields, (number, value) in enumerate(message_fields(memoryview(data))):
            if number > _MAX_FIELD:
                raise _NotProtobufError(f"field {number}")
            if n_fields == _MAX_FIELDS:
                raise _NotProtobufError(f"more than {_MAX_FIELDS} fields")
            fields.add(number)
            if number == _METADATA_PROPS and isinstance(value, memoryview):
                name, text = _property(value)
                if name == KEY and name in properties:
                    raise ModelFileError(f"{source} is damaged: it has its metadata twice")
                properties[name] = text
    except _CutOffError as error:
        if _IR_VERSION in fields:
            raise ModelFileError(f"{source} is cut off or damaged: {error}; copy it again") from error
        raise ModelFileError(f"{source} is not an ONNX model") from error
    except (_NotProtobufError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{source} is not an ONNX model, or is damaged ({error})") from error
    if not {_IR_VERSION, _GRAPH} <= fields:
        raise ModelFileError(f"{source} is not an ONNX model, or is cut off: it has no graph")
    return properties


def _property(entry: memoryview) -> tuple[str, str]:
    """Key and value of an entry of ``metadata_props``."""
    texts = {1: "", 2: ""}
    for n_fields, (number, value) in enumerate(message_fields(entry)):
        if n_fields == len(texts) or number not in texts or not isinstance(value, memoryview):
            raise _NotProtobufError("an entry of its metadata is more than a key and a value")
        texts[number] = bytes(value).decode()
    return texts[1], texts[2]


def graph_bytes(data: bytes) -> memoryview:
    """The bytes of the ``graph`` field of an ONNX model's bytes."""
    return next(
        value for number, value in message_fields(memoryview(data)) if number == _GRAPH and isinstance(value, memoryview)
    )


def read_precision(data: bytes) -> str:
    """The type of most numbers among the weights of an ONNX model's bytes; ``none`` where there are none."""
    counts: dict[str, int] = {}
    for number, tensor in message_fields(memoryview(graph_bytes(data))):
        if number == _INITIALIZER and isinstance(tensor, memoryview):
            sizes, kind = [], 0
            for field, value in message_fields(tensor):
                sizes += [value] if field == _DIMS and isinstance(value, int) else []
                kind = value if field == _DATA_TYPE and isinstance(value, int) else kind
            if kind in _WEIGHT_TYPES:
                name = _WEIGHT_TYPES[kind]
                counts[name] = counts.get(name, 0) + math.prod(sizes)
    return max(counts, key=lambda name: counts[name], default="none")


class _CutOffError(ValueError):
    """A field is longer than the file."""


class _NotProtobufError(ValueError):
    """A byte that no ONNX model has at this place."""


def message_fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message (protobuf encoding, https://protobuf.dev/programming-guides/encoding)."""
    at, end = 0, len(data)
    while at < end:
        # Most keys and sizes are one byte: this is the inner loop of opening a file.
        key = data[at]
        key, at = (key, at + 1) if key < 0x80 else _varint(data, at)
        kind = key & 7
        if not 8 <= key < 2**32:
            # protobuf would read a longer one as that of another field.
            raise _NotProtobufError(f"byte {at} starts no field")
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise _NotProtobufError(f"byte {at} starts no field")
        if at + size > end:
            raise _CutOffError(f"a field needs {at + size} bytes, there are {end}")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, lowest first, and the place after it."""
    value = shift = 0
    for byte in data[at : at + 10]:
        at += 1
        if byte < 0x80:
            return value | byte << shift, at
        value |= (byte & 0x7F) << shift
        shift += 7
    if at >= len(data):
        raise _CutOffError(f"it ends inside a number at byte {at}")
    raise _NotProtobufError(f"byte {at} is in no number")
