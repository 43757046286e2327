"""From file to file: every format in and out, the same bytes as reading whole, nothing half written."""

import gzip
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import BOOLEAN, CODES, FEATURES, PRICE, SPECIES, TARGETS, TWO_PRICES, schema_of, small_model

from onnxlearn.errors import ColumnNotFoundError, DataError, OutputError, ParameterError, TableReadError, UnknownNameError
from onnxlearn.files import stream, text, writers
from onnxlearn.files.stream import evaluate_file, predict_file
from onnxlearn.files.writers import json_texts, open_writer, output_suffix, texts
from onnxlearn.model import Model

HEADER = "x,small,city,zone,flag,day,name\n"


def csv_rows(n):
    cities, flags = ("Bonn", "Köln", "NA", "Mond", '"a ""b"", c"'), ("true", "False", "")
    return [
        f"{i / 8 if i % 5 else 'NA'},{i / 4},{cities[i % 5]},{i % 4},{flags[i % 3]},19{10 + i % 80}-02-03,row {i}\n"
        for i in range(n)
    ]


def write_csv(path, n=25, target=None, values=()):
    lines = [HEADER, *csv_rows(n)]
    if target:
        lines = [f"{line[:-1]},{value}\n" for line, value in zip(lines, [target, *values], strict=True)]
    text = "".join(lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def model_of(target, **roles):
    return Model(small_model(schema_of(target, FEATURES, **roles)))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_text_out_reads_back_as_the_prediction(target, tmp_path):
    model, data = model_of(target), write_csv(tmp_path / "in.csv")
    expected = model.predict(data).to_frame()
    for suffix in ("csv", "tsv", "jsonl", "csv.gz", "ndjson.gz"):
        out = tmp_path / f"out.{suffix}"
        assert predict_file(model, data, out, keep=["name", "city"]) == 25
        read = pd.read_json(out, lines=True) if "json" in suffix else pd.read_csv(out, sep="\t" if "tsv" in suffix else ",")
        assert read.columns.tolist() == ["name", "city", *expected.columns]
        assert read["name"].tolist() == [f"row {i}" for i in range(25)]
        numbers = expected.select_dtypes("number").columns
        np.testing.assert_array_equal(read[numbers].to_numpy(np.float32), expected[numbers].to_numpy(np.float32))
        if target.type == "classification":
            assert read["label"].tolist() == expected["label"].tolist()


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrow"])
def test_arrow_formats_in_and_out(suffix, tmp_path):
    model = model_of(CODES)
    data = write_csv(tmp_path / "in.csv")
    frame = pd.read_csv(data, parse_dates=["day"], true_values=["true"], false_values=["False"]).astype({"small": np.float32})
    table = tmp_path / f"in.{suffix}"
    (frame.to_parquet if suffix == "parquet" else frame.to_feather)(table)
    out = tmp_path / f"out.{suffix}"
    assert predict_file(model, table, out, keep=["name", "x"]) == 25
    read = (pd.read_parquet if suffix == "parquet" else pd.read_feather)(out)
    pd.testing.assert_frame_equal(read[["label", "prob_10", "prob_20"]], model.predict(data).to_frame())
    pd.testing.assert_series_equal(read["x"], frame["x"])
    predict_file(model, table, tmp_path / "out.csv", keep=["name"])
    predict_file(model, data, tmp_path / "text.csv", keep=["name"])
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "text.csv").read_bytes()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_batches_give_the_bytes_of_one(suffix, tmp_path, monkeypatch):
    model, data = model_of(SPECIES), write_csv(tmp_path / "in.csv", 2300)
    predict_file(model, data, tmp_path / f"whole.{suffix}", keep=["city"])
    monkeypatch.setattr(stream, "BATCH_ROWS", 1000)
    predict_file(model, data, tmp_path / f"parts.{suffix}", keep=["city"])
    whole, parts = (tmp_path / f"{name}.{suffix}" for name in ("whole", "parts"))
    if suffix == "parquet":
        pd.testing.assert_frame_equal(pd.read_parquet(whole), pd.read_parquet(parts))
    else:
        assert whole.read_bytes() == parts.read_bytes()
    again = tmp_path / "again.csv.gz"
    contents = []
    for _ in range(2):
        predict_file(model, data, again)
        contents.append(again.read_bytes())
    assert contents[0] == contents[1]
    # Flags and time of the gzip header: no file name, no clock.
    assert contents[0][3:8] == bytes(5)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "feather"])
def test_a_table_without_rows(suffix, tmp_path):
    out = tmp_path / f"out.{suffix}"
    assert predict_file(model_of(TWO_PRICES), write_csv(tmp_path / "in.csv", 0), out) == 0
    if suffix == "csv":
        assert out.read_text() == "prediction_low,prediction_high\n"
    elif suffix == "jsonl":
        assert out.read_text() == ""
    else:
        read = (pd.read_parquet if suffix == "parquet" else pd.read_feather)(out)
        assert read.columns.tolist() == ["prediction_low", "prediction_high"]
        assert len(read) == 0


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BATCH_ROWS", 1000)
    model = model_of(CODES)
    peaks = []
    for n in (3000, 12_000):
        data = write_csv(tmp_path / "in.csv", n)
        tracemalloc.start()
        predict_file(model, data, tmp_path / "out.csv")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_standard_input_and_output(tmp_path):
    path, data = tmp_path / "m.onnx", write_csv(tmp_path / "in.csv")
    model = model_of(PRICE)
    model.save(path)
    predict_file(model, data, tmp_path / "out.csv")
    code = (
        "import sys; from onnxlearn.model import load; from onnxlearn.files.stream import predict_file\n"
        "predict_file(load(sys.argv[1]), '-', format='csv')"
    )
    with data.open("rb") as file:
        result = subprocess.run([sys.executable, "-c", code, str(path)], stdin=file, capture_output=True, check=True)
    assert result.stdout == (tmp_path / "out.csv").read_bytes()


def test_predicting_from_text_needs_neither_pandas_nor_torch(tmp_path):
    path, data = tmp_path / "m.onnx", write_csv(tmp_path / "in.csv")
    model_of(SPECIES).save(path)
    code = (
        "import sys\n"
        "for name in ('pandas', 'torch', 'sklearn', 'pyarrow', 'onnx'): sys.modules[name] = None\n"
        "from onnxlearn.model import load\nfrom onnxlearn.files.stream import evaluate_file, predict_file\n"
        "predict_file(load(sys.argv[1]), sys.argv[2], sys.argv[3])\n"
        "import onnxlearn as ol\n"
        "print(ol.load(sys.argv[1]).predict_one(dict(x=1, small=2, city='Bonn', zone=1, flag=True, day=None))['label'])\n"
    )
    command = [sys.executable, "-c", code, str(path), str(data), str(tmp_path / "out.csv")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() in SPECIES.classes
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith("label,prob_a,prob_b,prob_ç\n")


def test_evaluating_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BATCH_ROWS", 1000)
    model = model_of(BOOLEAN)
    truth = ["true" if i % 3 else "False" for i in range(2500)]
    data = write_csv(tmp_path / "in.csv", 2500, "won", truth)
    predicted = model.predict(data)
    assert predicted.truth.tolist() == [text == "true" for text in truth]
    assert evaluate_file(model, data, measures=["acc"]) == {"acc": np.mean(predicted.truth == predicted.response)}
    assert list(evaluate_file(model, data)) == ["acc", "auc", "logloss"]
    with pytest.raises(UnknownNameError, match="there is no measure 'akk'"):
        evaluate_file(model, data, measures=["akk"])
    with pytest.raises(ParameterError, match="measure 'rmse' is for regression, the model does classification"):
        evaluate_file(model, data, measures=["rmse"])


def test_evaluating_with_weights(tmp_path):
    model = model_of(PRICE, weight="w")
    prices = model.predict(write_csv(tmp_path / "in.csv", 4)).response + np.arange(4)
    data = write_csv(
        tmp_path / "in.csv", 4, "price,w", [f"{price},{weight}" for price, weight in zip(prices, "0011", strict=True)]
    )
    assert evaluate_file(model, data, measures=["mae"]) == {"mae": pytest.approx(2.5)}
    unweighted = write_csv(tmp_path / "in.csv", 4, "price", prices)
    with pytest.raises(DataError, match="this cannot be scored: the model needs column 'w'"):
        evaluate_file(model, unweighted)


def test_evaluating_without_the_truth(tmp_path):
    model = model_of(SPECIES)
    with pytest.raises(DataError, match="this cannot be scored: the table has no column 'species'"):
        evaluate_file(model, write_csv(tmp_path / "in.csv"))
    data = write_csv(tmp_path / "in.csv", 2, "species", ["a", "d"])
    with pytest.raises(DataError, match=r"this cannot be scored: .*line 3.*'d'"):
        evaluate_file(model, data)
    assert model.predict(data).truth is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda text: text.replace("zone", "Zone"), ColumnNotFoundError, r"needs column 'zone'; .* Did you mean 'Zone'\?"),
        (lambda text: text.replace("1.25,", "many,"), DataError, r"'small'.*line 7.*'many'"),
        (lambda text: text.replace("row 9", "row,9"), TableReadError, "line 11 has 8 fields"),
    ],
)
def test_bad_input_writes_nothing(change, error, message, tmp_path):
    data = write_csv(tmp_path / "in.csv")
    data.write_text(change(data.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(error, match=message):
        predict_file(model_of(PRICE), data, tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == [data]


def test_bad_output_is_told_before_the_work(tmp_path):
    data = write_csv(tmp_path / "in.csv")
    model = model_of(PRICE)
    with pytest.raises(OutputError, match=r"cannot tell the format of '.*out.cvs' by its suffix: .* Did you mean 'csv'\?"):
        predict_file(model, data, tmp_path / "out.cvs")
    with pytest.raises(OutputError, match="there is no folder"):
        predict_file(model, data, tmp_path / "none" / "out.csv")
    with pytest.raises(ColumnNotFoundError, match=r"--keep needs column 'nme'.*Did you mean 'name'"):
        predict_file(model, data, tmp_path / "out.csv", keep=["nme"])
    with pytest.raises(DataError, match="the output would have two columns 'name': leave them out of --keep"):
        predict_file(model, data, tmp_path / "out.csv", keep=["name", "name"])
    assert list(tmp_path.iterdir()) == [data]


def test_output_suffix():
    assert [output_suffix(Path(name)) for name in ("a.CSV", "a.b.jsonl.gz", "x.parquet")] == ["csv", "jsonl.gz", "parquet"]
    for name in ("a", "a.gz", "a.parquet.gz", "a.xlsx"):
        with pytest.raises(OutputError, match="cannot tell the format"):
            output_suffix(name)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_in_text_read_back_exactly(values):
    for dtype in (np.float32, np.float64):
        array = np.array(values, dtype)
        np.testing.assert_array_equal(np.array(texts(array), dtype), array)
        np.testing.assert_array_equal(np.array([json.loads(text) for text in json_texts(array, "x")], dtype), array)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.text(), st.none() | st.text()), min_size=1), st.text(min_size=1))
def test_any_text_survives_json(tmp_path_factory, rows, name):
    names = [name, name + "%"]
    path = tmp_path_factory.getbasetemp() / "text.jsonl"
    with open_writer(path, names, suffix="jsonl") as write:
        write(dict(zip(names, zip(*rows, strict=True), strict=True)))
    lines = path.read_bytes().split(b"\n")[:-1]
    assert [json.loads(line) for line in lines] == [dict(zip(names, row, strict=True)) for row in rows]


def test_odd_values_in_kept_columns(tmp_path):
    day = pd.Timestamp("2020-01-02 03:04")
    values = [None, float("nan"), True, 3, 0.1, "ä", day, [1]]
    assert texts(values) == ["", "", "True", "3", "0.1", "ä", "2020-01-02T03:04:00", "[1]"]
    assert json_texts(values, "v") == ["null", "null", "true", "3", "0.1", '"ä"', '"2020-01-02T03:04:00"', "[1]"]
    with pytest.raises(DataError, match="column 'v' has an infinite number, which JSON cannot hold"):
        json_texts([float("inf")], "v")
    with (
        pytest.raises(DataError, match=r"column 'v' mixes types, which .parquet cannot hold: write .csv"),
        open_writer(tmp_path / "x.parquet", ["v"], suffix="parquet") as write,
    ):
        write({"v": [1, "a"]})


def test_a_column_that_begins_with_holes(tmp_path):
    path = tmp_path / "x.feather"
    with open_writer(path, ["v"], suffix="feather") as write:
        write({"v": [None, None]})
        write({"v": ["a", None]})
    assert pd.read_feather(path)["v"].astype(object).where(lambda v: v.notna(), None).tolist() == [None, None, "a", None]


def test_the_table_is_not_replaced_by_its_predictions(tmp_path):
    data = write_csv(tmp_path / "in.csv")
    before = data.read_bytes()
    (tmp_path / "link.csv").symlink_to(data)
    for out in (data, tmp_path / "link.csv"):
        with pytest.raises(OutputError, match=r"the output '.*' is the input '.*in\.csv': it would be lost"):
            predict_file(model_of(SPECIES), data, out)
    assert data.read_bytes() == before


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_many_batches_become_few_groups(suffix, tmp_path, monkeypatch):
    """Text is read in small batches; a group for each would make the file slow to read."""
    monkeypatch.setattr(text, "MAX_BATCH_CELLS", 7 * 7)
    monkeypatch.setattr(writers, "GROUP_ROWS", 30)
    model = Model(small_model(schema_of(PRICE, FEATURES)))
    path = tmp_path / f"p.{suffix}"
    predict_file(model, write_csv(tmp_path / "t.csv", 100), path, keep=["name"])
    if suffix == "parquet":
        groups = pq.ParquetFile(path).metadata
        sizes = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
    else:
        with pa.ipc.open_file(path) as file:
            sizes = [file.get_batch(i).num_rows for i in range(file.num_record_batches)]
    assert sizes == [35, 35, 30]
    found = (pd.read_parquet if suffix == "parquet" else pd.read_feather)(path)
    assert found["name"].tolist() == [f"row {i}" for i in range(100)]
    assert found["prediction"].tolist() == model.predict(tmp_path / "t.csv").response.tolist()
