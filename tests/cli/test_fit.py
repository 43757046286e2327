"""``onnxlearn fit``: the file, the table of scores, the talk."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn_cli.fit import configure
from onnxlearn_cli.options import pairs

QUICK = ("--set", "max_epochs=2")


def table(rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "x": [i * 7 % 11 / 10 for i in range(rows)],
            "colour": ["red", "green", "blue"] * (rows // 3),
            "rooms": [i * 3 % 5 for i in range(rows)],
            "house": [i // 6 for i in range(rows)],
            "w": [1.0 + i % 2 for i in range(rows)],
            "y": ["yes" if i * 7 % 11 > 5 else "no" for i in range(rows)],
            "price": [i * 7 % 11 * 100.0 + i % 3 for i in range(rows)],
        }
    )


def test_the_report_has_the_scores_of_the_file(command) -> None:
    done = command(
        "fit", "example:penguins", "--target", "species", *QUICK, "--test", "0.25", "--seed", "0", "--out", "a b.onnx"
    )
    assert done.code == 0, done.err
    head, *rows, wrote, following = done.out.splitlines()
    assert re.fullmatch(r"measure +validation \(used to choose the epoch\) +test", head)
    model = ol.load("a b.onnx")
    shown = {name: (valid, test) for name, valid, test in (row.split() for row in rows)}
    assert shown.keys() == model.scores["test"].keys() == model.scores["validation"].keys()
    assert shown["acc"] == tuple(f"{model.scores[part]['acc']:.4g}" for part in ("validation", "test"))
    assert wrote == f"wrote a b.onnx ({Path('a b.onnx').stat().st_size / 1e6:.2f} MB)"
    assert following == "next: onnxlearn predict 'a b.onnx' example:penguins --out predictions.csv"


def test_the_test_rows_are_those_of_the_library(command) -> None:
    """The test score can be had again: the same share and seed set the same rows aside."""
    command("fit", "example:penguins", "--target", "species", *QUICK, "--test", "0.25", "--seed", "3")
    model = ol.load("model.onnx")
    _, held_out = ol.Task.from_file("example:penguins", "species").split(0.25, 3)
    assert model.score(held_out, "acc") == model.scores["test"]["acc"]


def test_without_test_rows_there_is_no_such_column(command) -> None:
    done = command("fit", "example:penguins", "--target", "species", *QUICK)
    assert done.out.splitlines()[0].split("  ")[-1] == "validation (used to choose the epoch)"


def test_the_same_call_writes_the_same_bytes(command) -> None:
    for out in ("a.onnx", "b.onnx"):
        assert command("fit", "example:penguins", "--target", "species", *QUICK, "--seed", "5", "--out", out).code == 0
    assert Path("a.onnx").read_bytes() == Path("b.onnx").read_bytes()


def test_options_reach_the_schema(command) -> None:
    table().assign(sort=["a", "b"] * 30, shade=table()["colour"]).to_csv("t.csv", index=False)
    options = [
        "--kind",
        "rooms=categorical",
        "--group",
        "house",
        "--weight",
        "w",
        "--stratum",
        "colour",
        "--stratum",
        "sort",
        "--ignore",
        "price",
        "--positive",
        "no",
        "--na",
        "green",
    ]
    done = command("fit", "t.csv", "--target", "y", "--learner", "featureless", *options)
    assert done.code == 0, done.err
    schema = ol.load("model.onnx").schema
    assert schema.feature_names == ("x", "rooms", "shade")
    assert (schema.column("rooms").kind, schema.column("rooms").dtype) == ("categorical", "int64")
    assert schema.column("shade").levels == ("blue", "red")
    assert schema.column("shade").has_missing
    assert schema.stratum == ("colour", "sort")
    assert (schema.group, schema.weight, schema.ignored, schema.na) == ("house", "w", ("price",), ("", "green"))
    assert schema.target.positive == "no"


def test_settings_reach_the_learner(command) -> None:
    command("fit", "example:penguins", "--target", "species", *QUICK, "--set", "dropout=0.25", "--seed", "7")
    params = ol.load("model.onnx").metadata["learner"]["params"]
    assert (params["max_epochs"], params["dropout"], params["seed"]) == (2, 0.25, 7)


def test_several_numbers(command) -> None:
    table().to_csv("t.csv", index=False)
    done = command("fit", "t.csv", "--target", "price", "--target", "x", "--learner", "featureless", "--ignore", "y")
    assert done.code == 0, done.err
    assert ol.load("model.onnx").schema.target.names == ("price", "x")


def test_classes_of_integers(command) -> None:
    """Integers with few values are classes, which is said; --task overrules it; the positive class is given as text."""
    table().assign(y=table()["y"] == "yes").astype({"y": int}).to_csv("t.csv", index=False)
    done = command("fit", "t.csv", "--target", "y", "--learner", "featureless", "--positive", "0")
    assert done.code == 0, done.err
    assert "integers with 2 distinct values are taken as classes" in done.err
    assert ol.load("model.onnx").schema.target.positive == 0
    command("fit", "t.csv", "--target", "y", "--learner", "featureless", "--task", "regression")
    assert ol.load("model.onnx").schema.target.type == "regression"


def test_notes_are_talk(command) -> None:
    table().assign(key=[f"k{i:03d}" for i in range(60)]).to_csv("t.csv", index=False)
    done = command("fit", "t.csv", "--target", "y", "--learner", "featureless")
    assert done.code == 0, done.err
    assert [line.split(":")[0] for line in done.err.splitlines() if "'key'" in line] == ["onnxlearn"]
    assert "key" not in done.out


def test_standard_input(command) -> None:
    done = command(
        "fit", "-", "--format", "csv", "--target", "y", "--learner", "featureless", stdin=table().to_csv(index=False).encode()
    )
    assert done.code == 0, done.err
    assert ol.load("model.onnx").schema.target.classes == ("no", "yes")
    assert done.out.splitlines()[-1] == "next: onnxlearn predict model.onnx NEW.csv --out predictions.csv"


def test_pairs() -> None:
    assert pairs("--set", ["activation=a=b"]) == {"activation": "a=b"}
    assert pairs("--kind", ["a=b=numeric"], last=True) == {"a=b": "numeric"}
    with pytest.raises(ParameterError, match="--set takes NAME=VALUE, not '=3'"):
        pairs("--set", ["=3"])


def test_a_learner_without_a_seed_takes_one_for_the_rows() -> None:
    recipe = ol.learner("featureless")
    assert configure(recipe, {}, 4).values == recipe.values


def test_ordered_columns_from_text(command) -> None:
    table().assign(size=["mid", "lo", "hi"] * 20).to_csv("t.csv", index=False)
    ordered = ("--kind", "size=ordered", "--levels", "size=lo,mid,hi", "--kind", "rooms=ordered", "--levels", "rooms=4,3,2,1,0")
    done = command("fit", "t.csv", "--target", "y", *QUICK, *ordered)
    assert done.code == 0, done.err
    schema = ol.load("model.onnx").schema
    assert schema.column("size").levels == ("lo", "mid", "hi")
    assert schema.column("rooms").levels == (4, 3, 2, 1, 0)
    assert {schema.column("size").kind, schema.column("rooms").kind} == {"ordered"}


def test_what_training_had_to_say_is_said(command) -> None:
    table().to_csv("t.csv", index=False)
    wild = ("--set", "num_scaler=none", "--set", "lr=5", "--set", "max_epochs=30")
    done = command("fit", "t.csv", "--target", "price", "--ignore", "y", *wild)
    assert done.code == 0, done.err
    for note in ol.load("model.onnx").metadata["notes"]:
        assert f"onnxlearn: {note}\n" in done.err


def test_callbacks_are_named_in_text(command) -> None:
    arguments = ("fit", "example:iris", "--target", "species", *QUICK, "--out", "iris.onnx", "--set")
    done = command(*arguments, "callbacks=history('here, and {run}.csv'),unfreeze('head.*',epoch={2:'*'})")
    assert done.code == 0, done.err
    written = pd.read_csv("here, and iris-mlp.csv")
    assert written.equals(ol.load("iris.onnx").history[list(written)])
    done = command(*arguments, "callbacks=histori")
    assert (done.code, done.out) == (2, "")
    assert "there is no callback 'histori'" in done.err
    assert "Did you mean 'history'?" in done.err


def test_callbacks_of_the_working_directory_are_found(command) -> None:
    Path("watchers.py").write_text(
        "from pathlib import Path\n\nfrom onnxlearn_models.training.callbacks import Callback\n\n\n"
        "class Said(Callback):\n    def __init__(self, what):\n        self.what = what\n\n"
        "    def end(self, ctx):\n        Path('said.txt').write_text(self.what)\n"
    )
    done = command("fit", "example:iris", "--target", "species", *QUICK, "--set", "callbacks=watchers:Said('hello')")
    assert done.code == 0, done.err
    assert Path("said.txt").read_text() == "hello"


def test_mappings_and_code_are_written_as_settings(command, tmp_path) -> None:
    Path("myschedule.py").write_text("def falling(epoch):\n    return 1 / (1 + epoch)\n")
    settings = {
        "class_weight": '{"Gentoo": 2}', "param_groups": "{'head.*': {'lr': 0.5}}", "schedule": "lambda",
        "schedule_function": "myschedule:falling",
    }  # fmt: skip
    line = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    done = command("fit", "example:penguins", "--target", "species", *QUICK, *line)
    assert done.code == 0, done.err
    params = ol.load("model.onnx").metadata["learner"]["params"]
    assert {name: params[name] for name in settings} == {
        "class_weight": {"Gentoo": 2}, "param_groups": {"head.*": {"lr": 0.5}}, "schedule": "lambda",
        "schedule_function": "myschedule:falling",
    }  # fmt: skip
    bad = command("fit", "example:penguins", "--target", "species", "--set", "class_weight=Gentoo")
    assert bad.code == 2
    assert "class_weight has to be" in bad.err


def test_another_file_chooses_the_epoch(command) -> None:
    frame = table()
    frame[:40].to_csv("train.csv", index=False)
    frame[40:].to_csv("valid.csv", index=False)
    done = command("fit", "train.csv", "--target", "y", "--ignore", "price", *QUICK, "--validation", "valid.csv", "--seed", "1")
    assert done.code == 0, done.err
    model = ol.load("model.onnx")
    valid = ol.Task.from_frame(frame[40:].drop(columns="price"), "y")
    assert model.score(valid, "acc") == model.scores["validation"]["acc"]
    twice = command("fit", "train.csv", "--target", "y", "--validation", "valid.csv", "--set", "validation=0.1")
    assert (twice.code, "say the same thing" in twice.err) == (2, True)
    missing = command("fit", "train.csv", "--target", "y", "--validation", "vlid.csv")
    assert missing.code == 2
    assert "vlid.csv" in missing.err


def test_what_fails_in_code_of_ones_own_is_told_with_its_place(command) -> None:
    Path("mycallbacks.py").write_text(
        "from onnxlearn_models.training.callback import Callback\n\n\nclass Bad(Callback):\n    def epoch_end(self, ctx):\n"
        "        return 1 / 0\n"
    )
    done = command("fit", "example:penguins", "--target", "species", *QUICK, "--set", "callbacks=mycallbacks:Bad")
    assert done.code == 2
    assert "code of your own fails: ZeroDivisionError: division by zero (mycallbacks.py, line 6: return 1 / 0)" in done.err
    assert "a fault of onnxlearn" not in done.err
