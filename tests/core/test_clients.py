"""Clients: what is written, the one in Python run on hostile rows, and what cannot be written."""

import datetime as dt
import importlib.util
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import onnxlearn as ol
from onnxlearn.errors import DataError, MissingExtraError, ParameterError, ParityError
from onnxlearn.export import TARGETS, make_target, target_class
from onnxlearn.export.clients.client import Client
from onnxlearn.export.clients.python import PythonClient
from onnxlearn.graph.rewrite import rewrite
from onnxlearn.model import Model
from onnxlearn.schema import Column
from tests.core.client_models import CASES, EMOJI, assert_printed, client_feeds, client_model
from tests.core.small_models import PRICE, SPECIES, schema_of, small_model

LANGUAGES = {name: cls for name in TARGETS if issubclass(cls := target_class(name), Client)}
FILES = {
    "python": {"model.py", "example.py"},
    "node": {"model.mjs", "model.d.mts", "example.mjs", "package.json"},
    "c": {"model.h", "model.c", "example.c"},
    "java": {"Model.java", "Example.java"},
    "csharp": {"Model.cs", "Example.cs", "Example.csproj"},
}


def small(target=PRICE, **roles):
    return Model(small_model(schema_of(target, **roles)))


def with_columns(*columns, target=PRICE):
    return small(target, features=columns)


def load(folder):
    spec = importlib.util.spec_from_file_location("a_client", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_python(folder):
    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"], cwd=folder, capture_output=True, text=True, encoding="utf-8",
        check=False, env={"PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("language", FILES)
def test_a_folder_holds_model_client_example_and_readme(language, tmp_path):
    model = client_model("classes", emoji=False)
    model.export(language, tmp_path / "client")
    assert {path.name for path in (tmp_path / "client").iterdir()} == {"model.onnx", "README.md", *FILES[language]}
    assert (tmp_path / "client" / "model.onnx").read_bytes() == model.to_bytes()
    for path in (tmp_path / "client").glob("*[!x]"):
        text = path.read_text("utf-8")
        assert "\r" not in text
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        # Nothing invisible, or that turns the direction of text, gets in by a name or a level.
        assert all(character.isprintable() or character == "\n" for character in text), path.name


@pytest.mark.parametrize("language", FILES)
def test_the_readme_reads_as_it_is_meant(language, tmp_path):
    client_model("classes", emoji=False).export(language, tmp_path / "client")
    text = (tmp_path / "client" / "README.md").read_text("utf-8")
    assert "\n\nMade by onnxlearn." in text
    assert "\n\n\n" not in text
    # A list has no gaps.
    assert [line[:2] for line in text.split("\n- ", 1)[1].split("\n\n")[0].splitlines()[1:]] == ["- "] * 3


def test_a_float32_is_told_by_its_own_digits(tmp_path):
    (tmp_path / "row.csv").write_text("share\n0.1\n", "utf-8")
    model = with_columns(Column(name="share", kind="numeric", dtype="float32"))
    for language, told in {
        "python": '"share": 0.1,',
        "node": '"share": 0.1,',
        "c": ".share = 0.1f;",
        "java": ".share = 0.1f;",
    }.items():
        model.export(language, tmp_path / language, data=str(tmp_path / "row.csv"))
        (example,) = (path.read_text("utf-8") for path in (tmp_path / language).glob("[eE]xample.*[!j]"))
        assert told in example


def test_there_is_a_client_for_each_language():
    assert set(LANGUAGES) == set(FILES)


@pytest.mark.parametrize("case", [*CASES, "indices", "unseen", "masks"])
def test_the_python_client_gives_what_the_model_gives(case, tmp_path):
    model = client_model(case)
    feeds = client_feeds(model)
    make_target("python").write_with(model, tmp_path, feeds)
    assert_printed(run_python(tmp_path), model, feeds)


def test_it_predicts_as_predict_one(tmp_path):
    model = client_model("classes")
    model.export("python", tmp_path / "client")
    row = {column.name: None for column in model.schema.features} | {"Row": True, "東京": EMOJI, "1st": 3, "class": False}
    (prediction,) = load(tmp_path / "client").predict([row])
    expected = model.predict_one(row)
    assert prediction["label"] == expected["label"]
    assert prediction["set"] == expected["set"]
    assert prediction["probabilities"] == pytest.approx(expected["probabilities"])
    assert load(tmp_path / "client").predict([]) == []


def test_its_code_is_clean(tmp_path):
    for case in ("classes", "several"):
        client_model(case).export("python", tmp_path / case)
    rules = ["--isolated", "--line-length", "200", "--select", "E,F,B,W,I", "--target-version", "py311"]
    line = [sys.executable, "-m", "ruff", "check", *rules, tmp_path]
    checked = subprocess.run(line, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_it_needs_nothing_of_onnxlearn(tmp_path):
    client_model("classes").export("python", tmp_path / "client")
    code = "import sys; sys.modules['onnxlearn'] = None; import example; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "client", capture_output=True, text=True, check=True, encoding="utf-8",
        env={"PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False False"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": "1"}, "row 1, column 'x': expected a number or None, not '1'"),
        ({"x": True}, "row 1, column 'x': expected a number or None, not True"),
        ({"city": 1}, "row 1, column 'city': expected a text or None, not 1"),
        ({"zone": 1.5}, "row 1, column 'zone': expected a whole number or None, not 1.5"),
        ({"flag": 1}, "row 1, column 'flag': expected True, False or None, not 1"),
        ({"day": "2024-01-01"}, "row 1, column 'day': expected a datetime without a zone or None, not '2024-01-01'"),
        ({"day": dt.datetime(2024, 1, 1, tzinfo=dt.UTC)}, "row 1, column 'day': expected a datetime without a zone or"),
    ],
)
def test_it_says_what_is_wrong_with_a_row(change, message, tmp_path):
    model = small()
    model.export("python", tmp_path / "client")
    row = dict.fromkeys(model.schema.feature_names)
    client = load(tmp_path / "client")
    with pytest.raises(TypeError) as error:
        client.predict([row, row | change])
    assert str(error.value).startswith(message)
    del row["city"]
    with pytest.raises(KeyError, match="row 0 has no 'city'; None means missing"):
        client.predict([row])


def test_a_client_that_differs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("onnxlearn.export.clients.python._expression", lambda result, word, label, n: f"{word}[0] + 1")
    with pytest.raises(ParityError, match=r"the client gives .* as prediction of row [0-9]+, the model "):
        small().export("python", tmp_path / "client")
    assert list(tmp_path.iterdir()) == []


def test_the_first_rows_of_a_table_are_the_example(tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text(
        "x,small,city,zone,flag,day\n3.5,0.25,Köln,2,True,1969-12-31T23:59:59.999999\n,,,,,\n7,1,Bonn,1,False,2000-01-01\n"
    )
    expected = {
        "python": ['"x": 3.5,', '"city": "Köln",', "dt.datetime(1969, 12, 31, 23, 59, 59, 999999)", '"flag": True'],
        "node": ['"x": 3.5,', '"city": "Köln",', '"day": -1n', '"flag": true'],
        "c": ["rows[0].x = 3.5;", '"K\\303\\266ln"', "INT64_C(-1)", "rows[0].flag = 1;", "rows[0].small_ = 0.25f;"],
        "java": ["row1.x = 3.5;", '"K\\u00f6ln"', 'LocalDateTime.parse("1969-12-31T23:59:59.999999")', "row1.small = 0.25f;"],
        "csharp": ["X = 3.5,", '"Köln"', "new DateTime(1969, 12, 31, 23, 59, 59).AddTicks(9999990)", "Zone = 2L,"],
    }
    for language, texts in expected.items():
        small().export(language, tmp_path / language, data=str(table))
        (example,) = (path.read_text("utf-8") for path in (tmp_path / language).glob("[eE]xample.*[!j]"))
        assert [text for text in texts if text not in example] == []
        assert "7.0" not in example


def test_a_table_that_does_not_do_is_refused(tmp_path):
    (tmp_path / "empty.csv").write_text("x,small,city,zone,flag,day\n")
    with pytest.raises(ParameterError, match="data needs a row to show"):
        small().export("c", tmp_path / "client", data=str(tmp_path / "empty.csv"))
    (tmp_path / "other.csv").write_text("x\n1\n")
    with pytest.raises(DataError, match="the model needs columns 'small'"):
        small().export("c", tmp_path / "client", data=str(tmp_path / "other.csv"))


@pytest.mark.parametrize("language", FILES)
def test_a_date_that_no_language_can_write_is_refused(language, tmp_path):
    model = small()
    feeds = client_feeds(model) | {"day": np.full((64, 1), 2**62)}
    if language in ("node", "c"):
        make_target(language).write_with(model, tmp_path, feeds)
        return
    with pytest.raises(ParameterError, match="in the years 1 to 9999, not 4611686018427387904 microseconds"):
        make_target(language).write_with(model, tmp_path, feeds)


def test_what_a_language_cannot_hold_is_refused(tmp_path, monkeypatch):
    zero = with_columns(Column(name="a\0b", kind="numeric", dtype="float64"))
    for language in ("c", "java"):
        with pytest.raises(ParameterError, match="zero"):
            zero.export(language, tmp_path / "client")
    for language in ("python", "node", "csharp"):
        zero.export(language, tmp_path / language)
    with pytest.raises(ParameterError, match="Java interface of ONNX Runtime cannot pass '🦜"):
        client_model("numbers").export("java", tmp_path / "client")
    monkeypatch.setattr(LANGUAGES["java"], "max_columns", 5)
    with pytest.raises(ParameterError, match="a client in Java can have 5 columns, this model has 6"):
        small().export("java", tmp_path / "client")


def test_a_file_with_other_inputs_is_refused(tmp_path):
    model = Model(rewrite(client_model("codes").to_bytes(), layout="packed"))
    with pytest.raises(ParameterError, match="exported with other inputs: use the file it was made of"):
        model.export("python", tmp_path / "client")


def test_jinja2_is_in_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"a client needs the package jinja2: pip install 'onnxlearn\[export\]'"):
        small().export("node", tmp_path / "client")


KINDS = {
    "number": Column(name="x", kind="numeric", dtype="float64"),
    "number32": Column(name="x", kind="numeric", dtype="float32"),
    "text": Column(name="x", kind="categorical", dtype="str", levels=("a",)),
    "whole": Column(name="x", kind="categorical", dtype="int64", levels=(1,)),
    "flag": Column(name="x", kind="boolean", dtype="bool"),
    "strict_flag": Column(name="x", kind="boolean", dtype="bool", strict_bool=True),
    "wall_time": Column(name="x", kind="datetime", dtype="naive"),
    "instant": Column(name="x", kind="datetime", dtype="utc"),
}


@pytest.mark.parametrize("role", KINDS)
def test_java_imports_what_it_uses(role, tmp_path):
    make_target("java").write_with(with_columns(KINDS[role]), tmp_path, client_feeds(with_columns(KINDS[role])))
    for name in ("Model.java", "Example.java"):
        text = (tmp_path / name).read_text("utf-8")
        imported = re.findall(r"^import .*\.(\w+);$", text, re.MULTILINE)
        body = re.sub(r"^import .*$", "", text, flags=re.MULTILINE)
        assert [each for each in imported if not re.search(rf"\b{each}\b", body)] == []
        known = "OnnxJavaType|ByteBuffer|DoubleBuffer|FloatBuffer|LongBuffer|Instant|LocalDateTime|ZoneOffset"
        assert set(re.findall(rf"\b({known})\b", body)) <= set(imported)


def test_names_that_look_like_code_stay_texts(tmp_path):
    nasty = ('"""', "'''", "\\", '"; import os; "', "*/", "\\u000a", "{% for %}", "{{ 1 }}", "$(x)", "`x`", "a\nb", "\u2028")
    columns = [Column(name=name, kind="categorical", dtype="str", levels=nasty) for name in nasty]
    target = replace(SPECIES, classes=nasty, names=('y"""\n',))
    model = with_columns(*columns, target=target)
    for language in FILES:
        make_target(language).write_with(model, tmp_path, client_feeds(model))
    client = load(tmp_path)
    assert [*client.CLASSES] == [*nasty]
    assert list(client.COLUMNS) == list(nasty)
    assert PythonClient.quote("\\") == '"\\\\"'


def test_one_column_and_one_target(tmp_path):
    model = with_columns(Column(name="x", kind="numeric", dtype="float64"))
    for language in FILES:
        folder = tmp_path / language
        model.export(language, folder)
        assert "from 1 column" in (folder / "README.md").read_text("utf-8")
    assert load(tmp_path / "python").predict([{"x": 2}]) == [ol.load(tmp_path / "python" / "model.onnx").predict_one({"x": 2})]
