"""The OpenAPI document: every model's addresses, with its own columns, classes and examples; OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from onnxlearn.schema import Column, Schema
from onnxlearn.signature import Output
from onnxlearn.wire.examples import example_request, example_rows
from onnxlearn.wire.values import MAX_EXACT, MAX_INT64

_MOST_LEVELS = 30
# Every day that there is, of the years 1 to 9999.
_DATE = (
    r"^(?!0000)([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
    r"|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)"
)
_TIME = r"[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
_ZONE = r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ServedInterface:
    """A model as it is seen from outside."""

    name: str
    version: str
    schema: Schema
    outputs: Mapping[str, Output]


def openapi_document(models: Sequence[ServedInterface], *, version: str, control: bool) -> Json:
    """The document of a server with these models, sorted by name and version; the last of a name answers without a version.

    >>> openapi_document([], version="1.0", control=False)["openapi"]
    '3.1.0'
    """
    paths: Json = {}
    schemas: Json = {"Error": _ERROR, "Answer": _TENSORS}
    for _, group in groupby(models, key=lambda model: model.name):
        versions = list(group)
        paths |= _paths(versions[-1], f"{versions[-1].name}.{versions[-1].version}", "")
        for model in versions:
            stem = f"{model.name}.{model.version}"
            schemas |= {f"{stem}.Row": row_schema(model.schema), f"{stem}.Prediction": _prediction(model)}
            paths |= _paths(model, stem, f"/versions/{model.version}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "onnxlearn serve",
            "version": version,
            "description": "Rows as JSON objects at `/models/NAME/predict`, or the Open Inference Protocol at `/v2`. "
            "A model without a version in its address is its latest one.",
        },
        "paths": paths | _server_paths() | (_control_paths() if control else {}),
        "components": {"schemas": schemas},
    }


def row_schema(schema: Schema) -> Json:
    """JSON Schema of a row; further fields are ignored."""
    properties = {column.name: _column(column) for column in schema.features}
    return {"type": "object", "required": list(schema.feature_names), "properties": properties}


def _column(column: Column) -> Json:
    told = _value(column)
    if not column.strict_bool:
        # Null is the way to say it; the empty text means missing wherever a table is read.
        empty = [] if column.onnx_type == "STRING" else [{"const": ""}]
        told = {"anyOf": [told, {"type": "null"}, *empty]}
    return {"title": column.name, "description": _description(column), **told}


def _value(column: Column) -> Json:
    if column.kind == "numeric":
        return {"type": "number", "minimum": -MAX_EXACT, "maximum": MAX_EXACT}
    if column.kind == "boolean":
        return {"enum": [0, 1]} if column.dtype == "int64" else {"type": "boolean"}
    if column.kind == "datetime":
        ending = f"{_TIME}{_ZONE}$" if column.dtype == "utc" else f"({_TIME})?$"
        return {"type": "string", "pattern": _DATE + ending}
    if column.kind == "image":
        return {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/*"}
    if column.dtype == "int64":
        return {"type": "integer", "minimum": -MAX_INT64, "maximum": MAX_INT64}
    return {"type": "string"}


def _description(column: Column) -> str:
    if column.levels:
        known = ", ".join(map(str, column.levels[:_MOST_LEVELS]))
        more = len(column.levels) - _MOST_LEVELS
        return f"{column.kind}: {known}{f' and {more} more' if more > 0 else ''}; any other value counts as unseen"
    if column.kind == "image":
        return "image: the bytes of a JPEG, PNG or other image file, as base64"
    units = {"duration": ", in seconds", "utc": ", with its zone", "naive": ", UTC without a zone"}
    return f"{column.kind}{units.get(column.dtype, '')}"


def _prediction(model: ServedInterface) -> Json:
    properties = {name: _output(model, name) for name in model.outputs}
    return {"type": "object", "required": list(properties), "properties": properties}


def _output(model: ServedInterface, name: str) -> Json:
    target = model.schema.target
    if name == "label":
        return {"enum": list(target.classes)}
    if name == "probabilities":
        return _numbers([_key(label) for label in target.classes])
    if name == "set":
        return {"type": "array", "items": {"enum": list(target.classes)}}
    if name in ("prediction", "lower", "upper", "std"):
        return _PREDICTED if len(target.names) == 1 else _numbers(target.names)
    return {}


def _numbers(names: Sequence[str]) -> Json:
    return {"type": "object", "required": list(names), "properties": dict.fromkeys(names, _PREDICTED)}


def _key(label: object) -> str:
    # As JSON writes the keys of an object.
    return str(label).lower() if isinstance(label, bool) else str(label)


def _paths(model: ServedInterface, stem: str, version: str) -> Json:
    row, prediction = _ref(f"{stem}.Row"), _ref(f"{stem}.Prediction")
    target = ", ".join(model.schema.target.names)
    request = {"type": "object", "required": ["rows"], "properties": {"rows": {"type": "array", "items": row}}}
    answer = {
        "type": "object",
        "required": ["model", "version", "predictions"],
        "properties": {
            "model": {"const": model.name},
            "version": {"const": model.version},
            "predictions": {"type": "array", "items": prediction},
        },
    }
    predict = _operation(
        f"Predict {target}", model.name, _body(request | {"additionalProperties": False}, {"rows": example_rows(model.schema)}),
        answer, (400, 408, 413, 415, 422, 503),
    )  # fmt: skip
    infer = _operation(
        f"Predict {target} (Open Inference Protocol)", model.name, _body(_TENSORS_IN, example_request(model.schema)),
        _ref("Answer"), (400, 408, 413, 415, 503),
    )  # fmt: skip
    return {
        f"/models/{model.name}{version}/predict": {"post": predict},
        f"/v2/models/{model.name}{version}/infer": {"post": infer},
        f"/v2/models/{model.name}{version}": {
            "get": _operation("Inputs and outputs", model.name, None, {"type": "object"}, ())
        },
        f"/v2/models/{model.name}{version}/ready": {"get": _operation("Is it loaded?", model.name, None, {}, ())},
    }


def _operation(summary: str, tag: str, body: Json | None, answer: Json, refusals: Sequence[int]) -> Json:
    responses = {"200": {"description": "Done", "content": {"application/json": {"schema": answer}}}}
    for status in (*refusals, 404, 500):
        responses[str(status)] = {
            "description": _STATUS[status],
            "content": {"application/json": {"schema": _ref("Error")}},
        }
    operation: Json = {"summary": summary, "tags": [tag], "responses": dict(sorted(responses.items()))}
    return operation if body is None else operation | {"requestBody": body}


def _body(schema: Json, example: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _server_paths() -> Json:
    text = {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "/v2": {"get": _operation("The server", "server", None, {"type": "object"}, ())},
        "/v2/health/live": {"get": _operation("Is it alive?", "server", None, {}, ())},
        "/v2/health/ready": {"get": _operation("Are its models loaded?", "server", None, {}, ())},
        "/v2/repository/index": {
            "post": _operation("Models and their states", "server", _INDEX_BODY, {"type": "array"}, (400, 408, 413, 415))
        },
        "/metrics": {"get": {"summary": "Metrics", "tags": ["server"], "responses": {"200": text}}},
    }


def _control_paths() -> Json:
    parameter = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"}}
    paths = {}
    for verb in ("load", "unload"):
        operation = _operation(f"{verb.capitalize()} a model", "server", None, {}, (400, 403)) | {"parameters": [parameter]}
        paths[f"/v2/repository/models/{{name}}/{verb}"] = {"post": operation}
    return paths


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_STATUS = {
    400: "The body is not what the address takes",
    403: "The server was started without --control",
    404: "There is no such model",
    408: "The body came in too slowly",
    413: "The body is too large",
    415: "The body is compressed",
    422: "A field does not fit: which one, its value and the rule",
    500: "A fault of the server",
    503: "Too much is waiting already; come again later",
}

_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string"},
        "mistakes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "value", "rule"],
                "properties": {
                    "field": {"type": "string"},
                    "row": {"type": ["integer", "null"]},
                    "value": {},
                    "rule": {"type": "string"},
                },
            },
        },
    },
}

_PREDICTED: Json = {
    "type": ["number", "null"],
    "description": "null where the network gives no number, as for rows beyond all bounds",
}

_INDEX: Json = {"type": "object", "properties": {"ready": {"type": ["boolean", "null"], "description": "Only those loaded"}}}
_INDEX_BODY: Json = {"content": {"application/json": {"schema": _INDEX, "example": {"ready": True}}}}

_TENSOR: Json = {
    "type": "object",
    "required": ["name", "datatype", "shape", "data"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": ["BOOL", "INT32", "INT64", "FP32", "FP64", "BYTES"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array"},
    },
}

_TENSORS_IN: Json = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": _TENSOR},
        "outputs": {
            "type": "array",
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        },
    },
}

_TENSORS: Json = {
    "type": "object",
    "required": ["model_name", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
}
