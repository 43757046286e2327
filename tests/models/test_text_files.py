"""Files that take texts in their other forms: exported, converted, served, several networks in one."""

import json

import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.export.target import make_target
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.serving.openapi import row_schema
from onnxlearn.serving.rows import RowReader, RowsError
from onnxlearn.wire.examples import example_rows

QUICK = {"text_length": 10, "text_max_words": 30, "max_epochs": 3, "seed": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    rows = [f"{['Good nice', 'bad UGLY'][i % 2]} thing, number {i % 7}!" for i in range(80)]
    columns = {"review": rows, "x": rng.normal(size=80), "city": [f"c{i % 20}" for i in range(80)]}
    frame = pd.DataFrame({**columns, "y": [["many", "few"][i % 2] for i in range(80)]})
    frame.loc[[3, 9], "review"] = ["", None]
    return frame


@pytest.fixture(scope="module")
def task(frame):
    return ol.Task.from_frame(frame, "y", kinds={"review": "text"})


@pytest.fixture(scope="module", params=["ids", "tfidf"])
def model(request, task):
    return ol.learner("multimodal", text_form=request.param, text_pairs=4, **QUICK).fit(task, progress=False)


@pytest.fixture
def data(frame, tmp_path):
    frame.to_csv(tmp_path / "rows.csv", index=False)
    return str(tmp_path / "rows.csv")


def write(model, out, target, **options):
    made = make_target(target, **options)
    with made.place(out) as place:
        made.write(model, place)
    return out


@pytest.mark.parametrize("options", [{"layout": "packed"}, {"rank": 1}, {"labels": "indices"}])
def test_other_inputs_and_outputs(model, task, tmp_path, options):
    other = ol.load(write(model, tmp_path / "m.onnx", "onnx", **options))
    assert other.verify().ok
    np.testing.assert_array_equal(other.predict(task).prob, model.predict(task).prob)


@pytest.mark.parametrize("target", ["fp16", "int8"])
def test_fewer_bits(model, task, tmp_path, data, target):
    other = ol.load(write(model, tmp_path / "m.onnx", target, data=data))
    assert other.verify().ok
    np.testing.assert_allclose(other.predict(task).prob, model.predict(task).prob, atol=0.05)


def test_the_network_alone_and_what_makes_its_tensors(model, tmp_path):
    """The parts have been run against the whole where they are written."""
    out = write(model, tmp_path / "parts", "encoded")
    document = json.loads((out / "preprocess.json").read_text())
    (told,) = (each for each in document["inputs"] if each["name"] == "review")
    assert told == {"name": "review", "kind": "text", "type": "STRING", "missing": ""}
    columns = [column for tensor in document["tensors"].values() for column in tensor["columns"]]
    assert {column["from"] for column in columns if column["steps"]} == {"review", "x", "city"}
    (missing,) = (column for column in columns if column["from"] == "review")
    assert missing == {"name": "review:missing", "from": "review", "steps": [{"step": "is_missing"}]}


@pytest.mark.parametrize("target", ["triton", "kserve", "python", "node", "c", "java", "csharp"])
def test_targets_are_written(model, tmp_path, target):
    assert any(write(model, tmp_path / "out", target).iterdir())


def test_rows_of_a_service(model):
    reader = RowReader(model.schema)
    rows = [{"review": "GOOD, thing", "x": 1.0, "city": "c1"}, {"review": None, "x": None, "city": None}]
    feeds = reader.feeds({"rows": json.loads(json.dumps(rows))})
    expected = [list(model.predict_one(row)["probabilities"].values()) for row in rows]
    np.testing.assert_allclose(model.predict_feeds(feeds)["probabilities"], expected, atol=1e-6)
    with pytest.raises(RowsError, match=r"review.*write text, or null for missing"):
        reader.feeds({"rows": [{**rows[0], "review": 3}]})
    assert row_schema(model.schema)["properties"]["review"]["description"] == "text"
    assert model.predict_one(example_rows(model.schema)[1])["label"] in ("many", "few")


@pytest.mark.parametrize("name", ["bagging", "ensemble"])
def test_several_networks_each_have_their_words(name, task):
    member = ol.learner("multimodal", **QUICK)
    settings = {"bagging": {"base": member, "n_folds": 2}, "ensemble": {"members": [member, member.replace(text_form="tfidf")]}}
    model = ol.learner(name, **settings[name]).fit(task, progress=False)
    assert model.verify().ok
    assert model.metadata["parity"]["max_difference"] < 1e-5
    assert np.isfinite(model.predict_feeds(hostile_feeds(model.schema))["probabilities"]).all()
