"""Loading and predicting with files built by hand: every form of table, every kind of column, every kind of damage."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import CODES, FEATURES, PRICE, SPECIES, TARGETS, document_of, schema_of, small_model

import onnxlearn as ol
from onnxlearn import model as model_module
from onnxlearn.errors import ColumnNotFoundError, DataError, DataTypeError, ModelFileError, OutputError
from onnxlearn.model import Model
from onnxlearn.schema import Column

MICROSECONDS = 86_400e9


def table(n=7):
    return pd.DataFrame(
        {
            "x": np.where(np.arange(n) == 1, np.nan, np.arange(n) / 4),
            "small": np.arange(n, dtype=np.float32) / 8,
            "city": pd.Series(["Bonn", "Köln", None, "Mond", "", "Bonn", "Köln"] * (n // 7 + 1), dtype=object)[:n],
            "zone": np.arange(n) % 4,
            "flag": pd.array(([True, False, None] * n)[:n], dtype="boolean"),
            "day": pd.date_range("1969-12-30", periods=n),
        }
    )


def expected_sum(row):
    city = {"Bonn": 2, "Köln": 3, None: 1, "": 1}.get(row["city"], 0)
    flag = 0.0 if row["flag"] is pd.NA else float(row["flag"])
    x = 0.0 if np.isnan(row["x"]) else row["x"]
    return x + row["small"] + city + row["zone"] + flag + row["day"].value / 1000 / MICROSECONDS


def price_model(**roles):
    return Model(small_model(schema_of(PRICE, **roles)))


def python_rows(frame):
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def test_prediction_is_the_sum_of_what_the_columns_say():
    expected = [expected_sum(row) for _, row in table().iterrows()]
    np.testing.assert_allclose(price_model().predict(table()).response, expected, rtol=1e-7)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_form_of_table_gives_the_same(target):
    model, frame = Model(small_model(schema_of(target))), table()
    whole = model.predict(frame)
    rows = python_rows(frame)
    shuffled = frame[frame.columns[::-1]].assign(other=1)
    forms = [shuffled, rows, {name: frame[name] for name in frame}, {name: [row[name] for row in rows] for name in frame}]
    for form in forms:
        prediction = model.predict(form)
        np.testing.assert_array_equal(prediction.response, whole.response)
        if target.type == "classification":
            np.testing.assert_array_equal(prediction.prob, whole.prob)
    for row, response in zip(rows, whole.response, strict=True):
        one = model.predict_one(row)
        if target.type == "classification":
            assert one["label"] == response
            assert list(one["probabilities"]) == list(target.classes)
        elif len(target.names) == 1:
            assert one == {"prediction": pytest.approx(response)}
        else:
            assert one == {"prediction": pytest.approx(dict(zip(target.names, response, strict=True)))}


@pytest.mark.parametrize("n", [0, 1, 37, 1000, 2500])
def test_blocks_and_chunks_change_nothing(n, monkeypatch):
    model, frame = price_model(), table(2500).iloc[:n]
    whole = model.predict(frame).response
    monkeypatch.setattr(model_module, "BLOCK_ROWS", 1000)
    np.testing.assert_array_equal(model.predict(frame).response, whole)
    assert whole.shape == (n,)


def test_a_wrong_value_is_told_with_its_row_in_the_table(monkeypatch):
    monkeypatch.setattr(model_module, "BLOCK_ROWS", 1000)
    frame = table(2500).astype({"x": object})
    frame.loc[2100, "x"] = "much"
    with pytest.raises(DataTypeError, match=r"'x'.*row 2100.*'much'"):
        price_model().predict(frame)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "x": st.none() | st.floats(-1e6, 1e6),
                "small": st.none() | st.floats(-1024, 1024, width=32),
                "city": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
                "zone": st.none() | st.integers(-(2**62), 2**62),
                "flag": st.none() | st.booleans(),
                "day": st.none() | st.datetimes(),
            }
        ),
        min_size=1,
        max_size=5,
    )
)
def test_rows_alone_and_together(rows):
    together = MODEL.predict(rows).prob
    for row, prob in zip(rows, together, strict=True):
        np.testing.assert_allclose(list(MODEL.predict_one(row)["probabilities"].values()), prob, atol=1e-6)


MODEL = Model(small_model(schema_of(CODES)))


def test_extra_columns_are_said_once():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_model import table, price_model\n"
        "model, frame = price_model(), table().assign(extra=1, price=2.0, more=3)\n"
        "model.predict(frame); model.predict(frame)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )
    assert result.stderr == "onnxlearn: ignoring columns that the model does not use: 'extra', 'more'\n"


def test_scoring_with_weights_and_without():
    truth = table().assign(price=[expected_sum(row) for _, row in table().iterrows()])
    truth["price"] += np.arange(7.0)
    assert price_model().score(truth, "mae") == pytest.approx(3.0)
    weighted = price_model(weight="w")
    with_weights = truth.assign(w=[0, 0, 0, 0, 0, 1, 1])
    assert weighted.score(with_weights, "mae") == pytest.approx(5.5)
    assert weighted.predict(with_weights).weights.tolist() == [0, 0, 0, 0, 0, 1, 1]
    with pytest.raises(DataError, match="this cannot be scored: the model needs column 'w'"):
        weighted.score(truth)
    with pytest.raises(DataError, match=r"weight column 'w': a weight has to be a number >= 0, not -1.0"):
        weighted.score(truth.assign(w=-1))


def test_truth_that_cannot_be_used_does_not_stop_predicting():
    model = Model(small_model(schema_of(SPECIES)))
    for values, reason in (([None] * 7, "missing"), (["d"] * 7, "class 'd' was not trained on"), ([1] * 7, "species")):
        prediction = model.predict(table().assign(species=pd.Series(values, dtype=object)))
        assert prediction.truth is None
        with pytest.raises(DataError, match=f"this cannot be scored: .*{reason}"):
            prediction.score()
    with pytest.raises(DataError, match="this cannot be scored: the target needs column 'species'"):
        model.score(table())


def test_missing_and_renamed_columns():
    with pytest.raises(ColumnNotFoundError, match=r"the model needs column 'city'; the table has .* Did you mean 'City'\?"):
        price_model().predict(table().rename(columns={"city": "City"}))
    row = python_rows(table())[0]
    del row["zone"]
    with pytest.raises(ColumnNotFoundError, match="the model needs column 'zone'"):
        price_model().predict_one(row)


def test_what_is_no_table():
    with pytest.raises(DataError, match=r"not ndarray: give the columns their names with pandas.DataFrame"):
        price_model().predict(np.zeros((2, 6)))
    with pytest.raises(DataError, match="row 1 has other keys than row 0"):
        price_model().predict([{"x": 1}, {"y": 1}])
    with pytest.raises(DataError, match="column 'x' has to be a list or an array, not 1; use predict_one for a single row"):
        price_model().predict({"x": 1})


def test_a_task_is_a_table():
    frame = table().assign(species=["a", "b", "ç", "a", "b", "ç", "a"])
    task = ol.Task.from_frame(frame, target="species")
    model = Model(small_model(schema_of(task.schema.target, task.schema.features)))
    direct, read = model.predict(task), model.predict(frame)
    np.testing.assert_array_equal(direct.prob, read.prob)
    np.testing.assert_array_equal(direct.truth, read.truth)
    # A task of other columns is read by the model's schema.
    np.testing.assert_array_equal(Model(small_model(schema_of(SPECIES))).predict(task).truth, read.truth)


def test_save_load_and_pickle(tmp_path):
    model = price_model()
    path = tmp_path / "m.onnx"
    model.save(path)
    assert path.read_bytes() == model.to_bytes()
    assert list(tmp_path.iterdir()) == [path]
    for other in (ol.load(path), ol.load(str(path), provider="cpu", n_threads=1), pickle.loads(pickle.dumps(model))):
        assert other == model
        assert hash(other) == hash(model)
        np.testing.assert_array_equal(other.predict(table()).response, model.predict(table()).response)
    with pytest.raises(OutputError, match="there is no folder"):
        model.save(tmp_path / "none" / "m.onnx")


def test_what_a_model_tells(tmp_path):
    model = price_model()
    assert model.schema == schema_of(PRICE)
    assert model.history.to_dict("list") == document_of(model.schema)["training"]["history"]
    assert model.scores == {"validation": {"logloss": 0.5, "auc": None}}
    assert model.providers == ["CPUExecutionProvider"]
    assert repr(model) == "<Model 'handmade': price from 6 columns>"
    described = model.inspect()
    assert described["file"]["n_bytes"] == len(model.to_bytes())
    assert described["file"]["inputs"][1] == {"name": "small", "type": "FLOAT", "shape": ["N", 1]}
    assert described["file"]["outputs"] == [{"name": "prediction", "type": "DOUBLE", "shape": ["N", 1]}]
    assert {key: value for key, value in described.items() if key != "file"} == model.metadata


def test_files_that_are_no_models(tmp_path):
    good = tmp_path / "good.onnx"
    price_model().save(good)
    with pytest.raises(ModelFileError, match=r"there is no model file '.*bad.onnx'; there is good.onnx"):
        ol.load(tmp_path / "bad.onnx")
    with pytest.raises(ModelFileError, match="is a folder, not a model file"):
        ol.load(tmp_path)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(good.read_bytes()[:-20])
    with pytest.raises(ModelFileError, match=r"cut.onnx is cut off or damaged"):
        ol.load(cut)


def test_a_schema_of_other_inputs_is_noticed():
    schema = schema_of(PRICE)
    fewer = schema_of(PRICE, FEATURES[:3])
    with pytest.raises(ModelFileError, match="its input 'zone' is INT64, its schema tells of none"):
        Model(small_model(schema, document_of(fewer)))
    with pytest.raises(ModelFileError, match="its input 'x2' is absent, its schema tells of DOUBLE"):
        Model(
            small_model(schema, document_of(schema_of(PRICE, (*FEATURES, Column(name="x2", kind="numeric", dtype="float64")))))
        )
    with pytest.raises(ModelFileError, match="has no output 'label': it was exported without"):
        Model(small_model(schema, document_of(schema_of(SPECIES))))


@pytest.mark.parametrize(("told", "largest"), [({}, 1000), ({"chunk_rows": 7}, 7), ({"chunk_rows": 1}, 1)], ids=str)
def test_a_file_tells_how_many_rows_to_run_at_a_time(told, largest, tmp_path, monkeypatch):
    schema = schema_of(PRICE)
    model, frame = Model(small_model(schema, document_of(schema, **told)), n_threads=1), table(1500)
    sizes, run = [], model._session.run

    def watched(names, feeds):
        sizes.append(len(feeds["x"]))
        return run(names, feeds)

    expected = price_model().predict(frame).response
    monkeypatch.setattr(model._session, "run", watched)
    data = tmp_path / "in.csv"
    frame.to_csv(data, index=False)
    for rows in (frame, data):
        np.testing.assert_array_equal(model.predict(rows).response, expected)
        assert max(sizes) == largest
        # Blocks of rows end where chunks do: only the last chunk is smaller.
        assert sum(size < largest for size in sizes) == (1500 % largest > 0)
        sizes.clear()


def test_blocks_hold_whole_chunks():
    schema = schema_of(PRICE)
    models = [Model(small_model(schema, document_of(schema, **told))) for told in ({}, {"chunk_rows": 300})]
    assert [[model.block_rows(most) for most in (2500, 100)] for model in models] == [[2000, 1000], [2400, 300]]


@pytest.mark.parametrize("told", [0, -1, 2.0, "7", True, []])
def test_chunk_rows_that_are_no_number_of_rows_are_noticed(told):
    schema = schema_of(PRICE)
    with pytest.raises(ModelFileError, match=r"the model is damaged: its chunk_rows is .*, not a number of rows"):
        Model(small_model(schema, document_of(schema, chunk_rows=told)))


def test_flipped_bytes_give_an_error_of_ours_or_a_model(capfd):
    data = small_model(schema_of(SPECIES))
    rng = np.random.default_rng(0)
    messages = []
    for at in rng.integers(0, len(data), 200):
        damaged = bytearray(data)
        damaged[at] = rng.integers(0, 256)
        try:
            Model(bytes(damaged))
        except ModelFileError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert not any("\n" in message for message in messages)
    assert capfd.readouterr() == ("", "")


def test_a_schema_with_other_classes_than_the_graph_is_refused():
    document = document_of(schema_of(SPECIES))
    document["schema"]["target"]["classes"] = ["a", "b"]
    with pytest.raises(ModelFileError, match="its output 'probabilities' has 3 columns, its schema tells of 2"):
        Model(small_model(schema_of(SPECIES), document))


def test_columns_of_unequal_length_are_refused():
    columns = table().to_dict("list")
    name = next(iter(columns))
    with pytest.raises(DataError, match=rf"the columns of a table have equally many rows, not {{'{name}': 1, "):
        price_model().predict(columns | {name: columns[name][:1]})
