"""``onnxlearn benchmark``: a design file's results, as the library has them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

import onnxlearn as ol

DESIGN = """\
measures = ["acc", "logloss"]

[tasks.flowers]
data = "example:iris"
[tasks.points]
data = "example:moons"

[learners.linear]
max_epochs = 2
[learners.featureless]

[resamplings.cv]
folds = 2
"""


def design(text: str = DESIGN, name: str = "design.toml") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def test_the_tables_and_the_file_have_the_scores_of_the_library(command) -> None:
    done = command("benchmark", design(), "--out", "scores.csv")
    assert done.code == 0, done.err
    expected = ol.benchmark(ol.read_design("design.toml"))
    pd.testing.assert_frame_equal(pd.read_csv("scores.csv"), expected.scores)
    first, second, ranks, wrote = done.out.split("\n\n")
    means = expected.aggregate().set_index(["task", "learner"])
    for text, task in ((first, "flowers"), (second, "points")):
        title, head, *lines = text.splitlines()
        assert title == f"{task}, cv"
        assert head.split() == ["learner", "acc", "logloss", "folds", "failed"]
        for line, learner in zip(lines, ("linear", "featureless"), strict=True):
            acc, logloss = means.loc[(task, learner), ["acc", "logloss"]]
            assert re.fullmatch(rf"{learner} +{acc:.4g} ± \S+ +{logloss:.4g} ± \S+ +2 +0", line)
    by_rank = ol.statistics.ranks(expected.statistics("logloss"))
    assert ranks.splitlines()[:2] == ["mean ranks, 1 is the best, cv", "learner      acc (2 tasks)  logloss (2 tasks)"]
    assert [line.split()[2] for line in ranks.splitlines()[2:]] == [f"{mean:.4g}" for mean in by_rank.mean]
    assert wrote == "wrote scores.csv (8 folds)\n"


def test_measures_of_one_kind_of_task_are_shown_with_it_and_inner_splits_beside(command) -> None:
    text = """\
measures = ["acc", "rmse", "bias"]
learners = ["featureless"]
resamplings = ["nested"]
[tasks.flowers]
data = "example:iris"
[tasks.numbers]
data = "example:friedman1"
[resamplings]
one = { resampling = "nested", outer = "holdout", inner = { resampling = "cv", folds = 2 } }
"""
    done = command("benchmark", design(text.replace('resamplings = ["nested"]\n', "")))
    assert done.code == 0, done.err
    flowers, inner, numbers, _ = [block.splitlines() for block in done.out.split("\n\n")]
    assert [flowers[0], inner[0], numbers[0]] == ["flowers, one", "flowers, one, inner splits", "numbers, one"]
    assert flowers[1].split() == ["learner", "acc", "folds", "failed"]
    assert numbers[1].split() == ["learner", "rmse", "bias", "folds", "failed"]
    assert (flowers[2].split()[-2:], inner[2].split()[-2:]) == (["1", "0"], ["2", "0"])
    # One split has no standard error.
    assert "±" not in flowers[2]
    assert "±" in inner[2]


def test_a_folder_goes_on_and_the_option_comes_before_the_design(command) -> None:
    first = command("benchmark", design(f'store = "results"\n{DESIGN}'))
    assert first.code == 0, first.err
    files = sorted(Path("results/runs").rglob("*.json"))
    files[0].unlink()
    again = command("benchmark", "design.toml")
    assert (again.out, sorted(Path("results/runs").rglob("*.json"))) == (first.out, files)
    other = command("benchmark", "design.toml", "--store", "other")
    assert other.out == first.out
    assert len(ol.BenchmarkResult.load("other").records) == 8


def test_a_dry_run_shows_what_would_run(command) -> None:
    cells = '[[cells]]\ntask = "flowers"\n[[cells]]\nlearner = "linear"\ntask = "points"\n'
    done = command("benchmark", design(f'store = "results"\n{DESIGN}{cells}'), "--dry-run")
    assert done.code == 0, done.err
    tasks, learners, splits, fits = [block.splitlines() for block in done.out.split("\n\n")]
    assert tasks[1].split() == ["flowers", "150", "4", "classification", "species"]
    assert learners[1] == "linear       learner('linear', max_epochs=2)"
    assert [line.split() for line in splits[1:]] == [["flowers", "cv", "2", "all"], ["points", "cv", "2", "linear"]]
    assert fits == ["6 fits; nothing was run"]
    assert not Path("results").exists()


def test_what_failed_is_told(command, monkeypatch) -> None:
    monkeypatch.setattr("sys.path", list(sys.path))
    Path("own").mkdir()
    Path("own/broken.py").write_text(
        "import torch\n\n\ndef net(schema):\n    raise ArithmeticError('no such network')\n", encoding="utf-8"
    )
    text = DESIGN.replace("[learners.featureless]", '[learners.mine]\nlearner = "broken:net"')
    done = command("benchmark", design(text, "own/design.toml"))
    assert done.code == 0, done.err
    assert re.search(r"^mine +- +- +2 +2$", done.out, re.MULTILINE)
    told = [line for line in done.err.splitlines() if line.startswith("onnxlearn: mine on ")]
    assert [line.partition(": ")[2].partition(": ")[0] for line in told] == [
        f"mine on {task}, iterations 0, 1" for task in ("flowers", "points")
    ]
    assert all("no such network" in line for line in told)
    assert (
        "onnxlearn: no ranks by acc: every acc has to be a finite number; learner 'mine' on task 'flowers' has nan" in done.err
    )


def test_all_mistakes_are_told_on_a_line_each(command) -> None:
    text = DESIGN.replace("max_epochs = 2", "max_epoch = 2").replace("folds = 2", "folds = 1")
    done = command("benchmark", design(text))
    assert done.code == 2
    assert done.err.splitlines()[0].startswith("onnxlearn: design.toml:9: learners.linear.max_epoch: learner 'linear' has no")
    assert done.err.splitlines()[1].startswith("onnxlearn: design.toml:13: resamplings.cv.folds: has to be int >= 2, not 1")
    assert done.error == "design.toml has 2 mistakes: mend them; nothing was run"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (DESIGN.replace("folds = 2", "folds = 1"), [], "design.toml:13: resamplings.cv.folds: has to be int >= 2, not 1"),
        ("a = ", [], "design.toml:1: no valid TOML: Invalid value"),
        (DESIGN, ["--out", "-"], "--out has to be a file"),
        (DESIGN, ["--out", "scores.txt"], "cannot tell the format of 'scores.txt'"),
        (DESIGN, ["--jobs", "0"], "n_jobs is a number of processes"),
    ],
)
def test_bad_input(command, text, options, message) -> None:
    done = command("benchmark", design(text), *options)
    assert done.code == 2
    assert message in done.error


def test_a_design_that_is_not_there(command) -> None:
    done = command("benchmark", "none.toml")
    assert (done.code, done.error) == (2, "cannot read the design 'none.toml': No such file or directory; check the path")


def test_after_ctrl_c_it_is_told_what_is_kept(command, monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("onnxlearn.experiments.job.Job.run", interrupted)
    done = command("benchmark", design(), "--store", "results")
    assert (done.code, done.out) == (130, "")
    assert done.err.splitlines()[-1].endswith("what was finished is in 'results': the same call goes on from there")
    assert command("benchmark", "design.toml").err.splitlines()[-1] == "onnxlearn: interrupted; nothing was written"


def test_a_dry_run_writes_no_scores(command) -> None:
    done = command("benchmark", design(DESIGN), "--dry-run", "--out", "scores.csv")
    assert (done.code, done.error) == (2, "--dry-run runs nothing, and --out has nothing to write: give one of the two")


def test_every_mistake_of_a_task_is_told_on_its_line(command) -> None:
    text = (
        '[tasks.penguins]\ndata = "example:penguins"\nkinds = { sex = "numerical" }\nlevels = { island = ["a"] }\n'
        'positive = "nix"\nweight = "species"\n[learners.e]\nlearner = "ensemble"\nmembers = ["linear", "bar"]\n'
        "[resamplings.cv]\n"
    )
    done = command("benchmark", design(text), "--dry-run")
    places = [line.split(": ")[1:3] for line in done.err.splitlines()[:-1]]
    assert places == [
        ["design.toml:3", "tasks.penguins.kinds"],
        ["design.toml:4", "tasks.penguins.levels"],
        ["design.toml:5", "tasks.penguins.positive"],
        ["design.toml:6", "tasks.penguins.weight"],
        ["design.toml:9", "learners.e.members"],
    ]
