"""``mlflow models serve`` serves the folder that ``export --to mlflow`` writes; MLflow comes with the extra ``dev``."""

import sys

import numpy as np
import pytest
from rows import N_HOSTILE, every_type, quantiles, quick, rows_of, sets
from servers import free_port, post, serving

import onnxlearn as ol
from onnxlearn.export.mlflow_folder import table_of
from onnxlearn.schema import MISSING_INT64
from onnxlearn.wire.examples import example_rows

pytestmark = [pytest.mark.consumers, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def models():
    """Models by name, and the rows to ask them for."""
    penguins = ol.Task.from_file("example:penguins", target="species")
    types = ol.Task.from_frame(every_type(), "arrival", strict_bool=["checked"], name="every type")
    fitted = {"penguins": penguins, "types": types}
    made = {name: (quick().fit(task, progress=False), task) for name, task in fitted.items()}
    made |= {"quantiles": quantiles(), "sets": sets()}
    return {name: (model, rows_of(model, task)) for name, (model, task) in made.items()}


NAMES = ("penguins", "types", "quantiles", "sets")


@pytest.fixture(scope="module", params=[(name, takes) for name in NAMES for takes in ("table", "tensors")], ids="-".join)
def served(request, models, tmp_path_factory):
    """A model, its rows, what it takes, and the address to ask."""
    name, takes = request.param
    model, rows = models[name]
    tmp_path = tmp_path_factory.mktemp("served")
    model.export("mlflow", tmp_path / "folder", takes=takes)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "-m", tmp_path / "folder"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with serving(command, f"http://127.0.0.1:{port}/ping", tmp_path / "mlflow.log"):
        yield model, rows, takes, f"http://127.0.0.1:{port}/invocations"


def spelled(value):
    """A value as JSON has it."""
    if value is None or value != value or value.__class__.__name__ in ("NAType", "NaTType"):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def written(column, told):
    """Only dates of the years 1 to 9999 can be written as text."""
    if told.kind != "datetime":
        return column
    far = (column > 253_402_300_799_999_999) | ((column < -62_135_596_800_000_000) & (column != MISSING_INT64))
    return np.where(far, 0, column)


def as_records(feeds, schema):
    table = table_of(feeds, schema).astype(object)
    return [{name: spelled(value) for name, value in row.items()} for row in table.to_dict("records")]


def ask(url, body):
    status, answer = post(url, body)
    assert status == 200, answer
    return answer["predictions"]


def test_the_server_gives_the_models_outputs(served):
    model, rows, takes, url = served
    if takes == "tensors":
        body = {name: [[None if value != value else value] for value in column[:, 0].tolist()] for name, column in rows.items()}
        answer = ask(url, {"inputs": body})
        assert_columns(answer, model.predict_feeds(rows))
        return
    rows = {name: written(column, model.schema.column(name)) for name, column in rows.items()}
    # JSON tables with whole numbers and nulls are numbers with a point to pandas, which hold fewer: one row at a time does.
    outputs = model.to_prediction(model.predict_feeds(rows)).to_columns()
    n_rows = len(next(iter(rows.values())))
    for i in [0, 1, *range(n_rows - N_HOSTILE, n_rows)]:
        records = as_records({name: column[i : i + 1] for name, column in rows.items()}, model.schema)
        (answer,) = ask(url, {"dataframe_records": records})
        assert_columns(
            {name: [value] for name, value in answer.items()}, {name: column[i : i + 1] for name, column in outputs.items()}
        )
    n = n_rows - N_HOSTILE
    records = as_records({name: column[:n] for name, column in rows.items()}, model.schema)
    split = {"columns": list(records[0]), "data": [list(record.values()) for record in records]}
    for body in ({"dataframe_records": records}, {"dataframe_split": split}):
        answer = ask(url, body)
        assert_columns(
            {name: [row[name] for row in answer] for name in outputs}, {name: column[:n] for name, column in outputs.items()}
        )


def assert_columns(theirs, ours):
    assert set(theirs) == set(ours)
    for name, array in ours.items():
        got = np.array(theirs[name], dtype=array.dtype)
        if array.dtype.kind == "f":
            np.testing.assert_allclose(got, array, rtol=1e-12, atol=1e-6)
        else:
            assert got.tolist() == array.tolist()


BAD = {
    "penguins": [{"island": 3}, {"bill_length_mm": float("inf")}],
    "every type": [
        {"flight": 1.5}, {"paid": "yes"}, {"checked": None}, {"departure day": "01/02/2020"},
        {"departure day": "2020-01-01T00:00:00Z"}, {"landed": "2020-01-01"}, {"city": True}, {"size": 1},
    ],
}  # fmt: skip


def test_bad_requests_are_refused(served):
    model, _, takes, url = served
    # Of lists a thousand deep MLflow's own JSON reader makes a 500.
    for body in (b"", b"{", b"null", b"\xff", b'{"dataframe_records": 3}', b'{"inputs": {}}', b'{"dataframe_records": [{}]}'):
        status, answer = post(url, body)
        assert 400 <= status < 500, (body[:20], answer)
    if takes == "table":
        column = model.schema.features[0].name
        status, answer = post(url, {"dataframe_records": [{column: [1]}]})
        assert status == 400
        assert "Traceback" not in str(answer)
        for change in BAD.get(model.schema.name, ()):
            status, answer = post(url, {"dataframe_records": [example_rows(model.schema)[0] | change]})
            (column,) = change
            assert status == 400
            assert f"column '{column}', row 0: " in answer["message"]
            assert "Traceback" not in str(answer)
        assert post(url, {"dataframe_records": example_rows(model.schema)})[0] == 200
