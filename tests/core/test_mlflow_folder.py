"""MLflow's model folder, loaded and asked by MLflow itself; its server is tested in tests/consumers."""

import contextlib
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from small_models import BOOLEAN, FEATURES, PRICE, SPECIES, schema_of, small_model

from onnxlearn.errors import OutputError
from onnxlearn.graph.hostile import EVERY_KIND, hostile_feeds
from onnxlearn.model import Model
from onnxlearn.schema import Column

SENSES = (
    *FEATURES,
    Column(name="count", kind="numeric", dtype="int64"),
    Column(name="lasted", kind="numeric", dtype="duration"),
    Column(name="sure", kind="boolean", dtype="bool", strict_bool=True),
    Column(name="moment", kind="datetime", dtype="utc"),
)
ROW = {
    "x": 1.5, "small": 0.5, "city": "Köln", "zone": 2, "flag": True, "day": "2024-02-29", "count": 3, "lasted": 90.0,
    "sure": False, "moment": "2024-02-29T12:00:00Z",
}  # fmt: skip

# MLflow warns of types of its own when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore")


@contextlib.contextmanager
def mlflow():
    with warnings.catch_warnings(action="ignore"):
        import mlflow.pyfunc

        yield mlflow


def model_of(target):
    return Model(small_model(schema_of(target, features=SENSES)), provider="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mlflow") / "model"
    with warnings.catch_warnings(action="ignore"):
        model_of(SPECIES).export("mlflow", path)
    return path


@pytest.fixture(scope="module")
def loaded(folder):
    with mlflow() as module:
        return module.pyfunc.load_model(str(folder))


def test_the_folder_tells_columns_and_an_example(folder, loaded):
    signature = loaded.metadata.signature
    types = {column.name: str(column.type) for column in signature.inputs}
    assert list(types) == [column.name for column in SENSES]
    assert {name for name, kind in types.items() if "double" in kind} == {"x", "small", "lasted"}
    assert "string" in types["city"]
    assert [column.name for column in signature.outputs] == ["label", "prob_a", "prob_b", "prob_ç"]
    assert loaded.metadata.metadata["columns"]["zone"] == "categorical (int64)"
    assert (folder / "requirements.txt").read_text("utf-8").splitlines()[-1].startswith("onnxlearn[cpu]==")


def test_tables_are_predicted_as_the_model_does(loaded):
    model = model_of(SPECIES)
    # MLflow's own type for a duration is seconds.
    frame = pd.DataFrame([ROW, {**ROW, "x": None, "city": None, "zone": None, "flag": None, "day": None, "moment": None}])
    theirs = loaded.predict(frame)
    ours = model.predict(frame.assign(lasted=pd.to_timedelta(frame["lasted"], unit="s"))).to_frame()
    pd.testing.assert_frame_equal(theirs, ours)


def test_a_training_table_is_taken_as_it_is(loaded):
    frame = pd.DataFrame([ROW] * 3, index=[7, 8, 9]).astype({"zone": "int64", "count": "int64", "small": "float32"})
    frame = frame.assign(day=pd.to_datetime(frame["day"]), moment=pd.to_datetime(frame["moment"]))
    assert loaded.predict(frame).index.tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zone": 1.5}, "column 'zone', row 0: expected a whole number as in training, got the number 1.5"),
        ({"count": 2**60}, "column 'count', row 0: the integer 1152921504606846976 is beyond 2^53"),
        ({"flag": "yes"}, "column 'flag', row 0: expected True or False"),
        ({"sure": None}, "column 'sure', row 0: the value is missing"),
        ({"day": "29.2.2024"}, "column 'day', row 0: expected a date as in training"),
        ({"moment": "2024-02-29"}, "column 'moment', row 0: expected a date with time zone"),
        ({"x": float("inf")}, "column 'x', row 0: the number inf is infinite"),
    ],
)
def test_what_does_not_fit_is_told_and_is_the_askers_mistake(loaded, change, message):
    with mlflow() as module, pytest.raises(module.exceptions.MlflowException) as error:
        loaded.predict(pd.DataFrame([{**ROW, **change}]))
    assert message in str(error.value)
    assert error.value.get_http_status_code() == 400


def test_a_column_that_is_not_there_is_told_by_mlflow(loaded):
    with mlflow() as module, pytest.raises(module.exceptions.MlflowException, match="city"):
        loaded.predict(pd.DataFrame([ROW]).drop(columns="city"))


def test_the_example_is_what_its_server_takes(folder):
    payload = (folder / "serving_input_example.json").read_text("utf-8")
    with mlflow() as module:
        answer = module.models.validate_serving_input(str(folder), payload)
    assert len(answer) == len(json.loads(payload)["dataframe_split"]["data"])


ALONE = (
    *SENSES,
    Column(name="size", kind="ordered", dtype="str", levels=("S", "M")),
    Column(name="floor", kind="ordered", dtype="int64", levels=(2, 1)),
    Column(name="price", kind="numeric", dtype="decimal"),
    Column(name="won", kind="boolean", dtype="int64"),
)


@pytest.mark.parametrize("column", ALONE, ids=lambda column: f"{column.kind}-{column.dtype}-{column.onnx_type}")
def test_a_column_of_any_type_arrives(column, tmp_path):
    """By itself, where no other hides what MLflow makes of it: the export compares hostile rows."""
    model = Model(small_model(schema_of(SPECIES, features=(column,))), provider="cpu")
    model.export("mlflow", tmp_path / "folder")
    assert (tmp_path / "folder" / "MLmodel").exists()


@pytest.mark.parametrize("target", [PRICE, BOOLEAN])
def test_arrays_by_the_flavour_onnx(target, tmp_path):
    model = model_of(target)
    model.export("mlflow", tmp_path / "folder", takes="tensors")
    assert (tmp_path / "folder" / "model.onnx").read_bytes() == model.to_bytes()
    feeds = hostile_feeds(model.schema, EVERY_KIND)
    with mlflow() as module:
        loaded = module.pyfunc.load_model(str(tmp_path / "folder"))
        outputs = loaded.predict({name: array.astype(str) if array.dtype == object else array for name, array in feeds.items()})
    for name, array in model.predict_feeds(feeds).items():
        np.testing.assert_array_equal(outputs[name], array)
    requirements = (tmp_path / "folder" / "requirements.txt").read_text("utf-8")
    assert "onnxlearn" not in requirements


def test_nothing_is_written_over(folder):
    with pytest.raises(OutputError, match="the folder holds something"):
        model_of(SPECIES).export("mlflow", folder)
