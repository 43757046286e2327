"""The OpenAPI document tells what is really taken and answered."""

import json
import re

import pytest
from small_models import BOOLEAN, SPECIES, TARGETS, TWO_PRICES, rows_of, schema_of, small_model

from onnxlearn import Model
from onnxlearn.schema import Column
from onnxlearn.serving.openapi import ServedInterface, openapi_document
from onnxlearn.serving.rows import RowReader
from onnxlearn.wire.dates import parse_iso
from onnxlearn.wire.tensors import Tensor, tensors_feeds


def interface(target, name="m", version="1"):
    model = Model(small_model(schema_of(target)))
    return model, ServedInterface(name=name, version=version, schema=model.schema, outputs=model.outputs)


def document(*interfaces, control=False):
    made = openapi_document(interfaces, version="1.0", control=control)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    return made


@pytest.mark.parametrize("target", TARGETS)
def test_the_examples_are_answered(target):
    model, served = interface(target)
    paths = document(served)["paths"]
    rows = paths["/models/m/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
    feeds = RowReader(model.schema).feeds(rows)
    predicted = rows_of(model, feeds)
    assert len(predicted) == 2
    request = paths["/v2/models/m/infer"]["post"]["requestBody"]["content"]["application/json"]["example"]
    tensors = [
        Tensor(name=one["name"], datatype=one["datatype"], shape=one["shape"], values=one["data"]) for one in request["inputs"]
    ]
    assert rows_of(model, tensors_feeds(tensors, model.schema)) == predicted


def test_rows_have_the_columns_of_the_model():
    row = document(interface(SPECIES)[1])["components"]["schemas"]["m.1.Row"]
    assert row["required"] == ["x", "small", "city", "zone", "flag", "day"]
    city = row["properties"]["city"]
    assert city["description"] == "categorical: Bonn, Köln; any other value counts as unseen"
    assert city["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert {"const": ""} in row["properties"]["x"]["anyOf"]


def test_dates_are_those_that_there_are():
    day = document(interface(SPECIES)[1])["components"]["schemas"]["m.1.Row"]["properties"]["day"]["anyOf"][0]
    days = [
        f"{year:04}-{month:02}-{day:02}"
        for year in (0, 1, 4, 1900, 2000, 2023, 2024, 9999)
        for month in range(14)
        for day in range(33)
    ]
    for text in (
        *days,
        "2024-02-29T00:00",
        "2024-02-29 23:59:59.5",
        "2024-02-29T24:00",
        "2024-02-29T",
        "2024-2-29",
        "02024-02-02",
    ):
        assert (re.search(day["pattern"], text) is not None) == (parse_iso(text) is not None), text


def test_predictions_have_the_classes_and_targets():
    schemas = document(interface(BOOLEAN, "won")[1], interface(TWO_PRICES, "prices")[1])["components"]["schemas"]
    assert schemas["won.1.Prediction"]["properties"]["probabilities"]["required"] == ["false", "true"]
    assert schemas["won.1.Prediction"]["properties"]["probabilities"]["properties"]["true"]["type"] == ["number", "null"]
    assert schemas["won.1.Prediction"]["properties"]["label"] == {"enum": [False, True]}
    assert schemas["prices.1.Prediction"]["properties"]["prediction"]["required"] == ["low", "high"]


def test_the_latest_version_answers_without_one():
    paths = document(interface(SPECIES, version="2")[1], interface(SPECIES, version="10")[1])["paths"]
    answer = paths["/models/m/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["properties"]["version"] == {"const": "10"}
    assert "/models/m/versions/2/predict" in paths


def test_control_is_told_of_where_there_is_some():
    path = "/v2/repository/models/{name}/load"
    served = interface(SPECIES)[1]
    assert path not in document(served)["paths"]
    assert path in document(served, control=True)["paths"]


def test_a_strict_boolean_is_never_null():
    schema = schema_of(SPECIES, (Column(name="sure", kind="boolean", dtype="bool", strict_bool=True),))
    served = ServedInterface(name="m", version="1", schema=schema, outputs={})
    assert document(served)["components"]["schemas"]["m.1.Row"]["properties"]["sure"]["type"] == "boolean"
