"""Folders of files: one table to read, or file by file into another folder."""

import json
import os

import pandas as pd
import pytest
from small_models import FEATURES, PRICE, schema_of, small_model
from test_stream import HEADER, csv_rows, write_csv

from onnxlearn.errors import ColumnNotFoundError, DataTypeError, OutputError, TableReadError
from onnxlearn.files.folders import part_files
from onnxlearn.files.outputs import PART
from onnxlearn.files.predicted_folder import RECORD, predict_folder
from onnxlearn.files.stream import predict_file
from onnxlearn.files.tables import read_whole
from onnxlearn.model import Model


@pytest.fixture(scope="module")
def model():
    return Model(small_model(schema_of(PRICE, FEATURES)))


@pytest.fixture
def folder(tmp_path):
    """25 rows in three files, one of them in a folder inside, beside what job runners leave."""
    source = tmp_path / "in"
    (source / "later").mkdir(parents=True)
    rows = csv_rows(25)
    for name, part in (("a.csv", rows[:10]), ("b.csv", rows[10:11]), ("later/c.csv", rows[11:])):
        (source / name).write_text("".join([HEADER, *part]), encoding="utf-8")
    (source / "_SUCCESS").touch()
    (source / ".a.csv.crc").write_bytes(b"\x00")
    return source


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_is_one_table(model, folder, tmp_path):
    whole = write_csv(tmp_path / "whole.csv")
    expected = model.predict(whole).to_frame()
    pd.testing.assert_frame_equal(model.predict(folder).to_frame(), expected)
    assert predict_file(model, folder, tmp_path / "out.csv", keep=["name"]) == 25
    predict_file(model, whole, tmp_path / "expected.csv", keep=["name"])
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


def test_a_folder_becomes_a_folder(model, folder, tmp_path):
    out = tmp_path / "out"
    assert str(predict_folder(model, folder, out, keep=["name"])) == "predicted 25 rows of 3 files"
    assert names(out) == [RECORD, "a.csv", "b.csv", "later/c.csv"]
    predict_file(model, folder / "later" / "c.csv", tmp_path / "c.csv", keep=["name"])
    assert (out / "later" / "c.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    # What was written is a table again.
    assert [path.name for path in part_files(out)] == ["a.csv", "b.csv", "c.csv"]


def test_formats_stay_what_they_are(model, folder, tmp_path):
    frame = pd.read_csv(folder / "a.csv", parse_dates=["day"], true_values=["true"], false_values=["False"])
    frame["small"] = frame["small"].astype("float32")
    frame.to_parquet(folder / "d.parquet")
    (folder / "e.json").write_text('{"x": 1, "small": 1, "city": null, "zone": 1, "flag": null, "day": null, "name": "e"}\n')
    out = tmp_path / "out"
    predict_folder(model, folder, out)
    assert names(out) == [RECORD, "a.csv", "b.csv", "d.parquet", "e.jsonl", "later/c.csv"]
    assert len(pd.read_parquet(out / "d.parquet")) == 10


def test_the_same_call_goes_on(model, folder, tmp_path):
    out = tmp_path / "out"
    (folder / "b.csv").write_text(HEADER + "one,1,Bonn,1,true,1999-01-01,b\n")
    with pytest.raises(DataTypeError, match=r"in 'b.csv': .*line 2"):
        predict_folder(model, folder, out)
    assert names(out) == [RECORD, "a.csv"]
    before = (out / "a.csv").stat().st_mtime_ns
    (folder / "b.csv").write_text(HEADER + "1,1,Bonn,1,true,1999-01-01,b\n")
    assert str(predict_folder(model, folder, out)) == "predicted 15 rows of 2 files; 1 were there already"
    assert (out / "a.csv").stat().st_mtime_ns == before
    # What has changed since is predicted anew.
    later = (out / "a.csv").stat().st_mtime + 5
    os.utime(folder / "a.csv", (later, later))
    assert predict_folder(model, folder, out).parts == 1


def test_predictions_are_never_mixed(model, folder, tmp_path):
    out = tmp_path / "out"
    predict_folder(model, folder, out)
    with pytest.raises(OutputError, match="it holds predictions of another model, or with other columns"):
        predict_folder(model, folder, out, keep=["name"])
    (out / RECORD).write_text("{")
    with pytest.raises(OutputError, match="another model"):
        predict_folder(model, folder, out)
    (out / RECORD).unlink()
    with pytest.raises(OutputError, match="holds something else; give a new or an empty one"):
        predict_folder(model, folder, out)
    with pytest.raises(OutputError, match="lies in the folder that is read"):
        predict_folder(model, folder, folder / "out")


def test_files_that_are_gone_are_told(model, folder, tmp_path):
    out = tmp_path / "out"
    predict_folder(model, folder, out)
    (folder / "later" / "c.csv").unlink()
    done = predict_folder(model, folder, out)
    assert str(done).endswith("; 2 were there already; predictions of files that are gone: 'later/c.csv'")


def test_what_a_killed_run_left_is_in_nobodys_way(model, folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / f".{RECORD}.0a1b2c3d{PART}").touch()
    (out / f".b.csv.0a1b2c3d{PART}").touch()
    predict_folder(model, folder, out)
    assert not list(out.glob(f".b.csv*{PART}"))
    assert predict_folder(model, folder, out).kept == 3


def test_links(model, folder, tmp_path):
    """None is left out in silence."""
    (folder / "d.csv").symlink_to(folder / "a.csv")
    assert len(model.predict(folder)) == 35
    for target, what in ((folder / "later", "a folder"), (tmp_path / "none.csv", "nothing")):
        link = folder / "e.csv"
        link.symlink_to(target)
        with pytest.raises(TableReadError, match=f"'e.csv' is a link to {what}, and only links to files are read"):
            model.predict(folder)
        link.unlink()


def test_columns_in_the_names_of_folders(model, folder, tmp_path):
    frame = pd.read_csv(folder / "a.csv").drop(columns="zone")
    (tmp_path / "parts" / "zone=1").mkdir(parents=True)
    frame.to_csv(tmp_path / "parts" / "zone=1" / "a.csv", index=False)
    with pytest.raises(ColumnNotFoundError, match=r"'zone'.*Names of folders are no columns here.*partitioning='hive'"):
        predict_folder(model, tmp_path / "parts", tmp_path / "out")


def test_names_that_would_meet(model, folder, tmp_path):
    (folder / "e.json").write_text("{}")
    (folder / "e.jsonl").write_text("{}")
    with pytest.raises(OutputError, match=r"would both be written to .*e.jsonl': rename one"):
        predict_folder(model, folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_do_not_belong(model, folder, tmp_path):
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(TableReadError, match=r"'notes.txt' is none of the formats .* begin its name with an underscore"):
        model.predict(folder)
    (folder / "notes.txt").unlink()
    (folder / "b.csv").write_text("x,city\n1,Bonn\n")
    with pytest.raises(TableReadError, match=r"in 'b.csv': its columns are not those of 'a.csv': it lacks 'small', 'zone'"):
        model.predict(folder)
    with pytest.raises(ColumnNotFoundError, match=r"in 'b\.csv': "):
        predict_folder(model, folder, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableReadError, match="holds no table"):
        model.predict(tmp_path / "empty")
    with pytest.raises(TableReadError, match="a model is fitted to one file"):
        read_whole(folder)


def test_a_format_for_files_without_suffix(model, folder, tmp_path):
    for path in part_files(folder):
        path.rename(path.with_suffix(""))
    out = tmp_path / "out"
    assert predict_folder(model, folder, out, format="csv").rows == 25
    assert names(out) == [RECORD, "a.csv", "b.csv", "later/c.csv"]
    assert json.loads((out / RECORD).read_text())["keep"] == []
