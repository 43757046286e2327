"""Benchmarks from design files: what they say is what runs, and all their mistakes are told, each with its line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.errors import DataError, DesignError, ParameterError

TABLE = pd.DataFrame(
    {
        "a": np.arange(40) % 7 + 0.5, "zip": np.arange(40) % 3, "site": np.arange(40) // 4,
        "y": ["u", "v"] * 20, "size": np.sqrt(np.arange(40)),
    }
)  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Tables and designs in one folder, which is not the working directory."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = tmp_path / "designs"
    made.mkdir()
    TABLE.to_csv(made / "mine.csv", index=False)
    return made


def read(folder: Path, text: str) -> ol.Design:
    (folder / "design.toml").write_text(text, encoding="utf-8")
    return ol.read_design(folder / "design.toml")


WHOLE = """\
measures = ["acc", "logloss"]
seed = 4
time_limit = 60
fallback = "plain"
store = "results"
models = true

[tasks.mine]
data = "mine.csv"
target = "y"
positive = "u"
group = "site"
kinds = { zip = "categorical" }
ignore = ["size"]

[tasks.flowers]
data = "example:iris"

[learners.plain]
learner = "featureless"

[learners.small]
learner = "mlp"
max_epochs = 1
patience = "none"
datetime_parts = ["year", "month"]
[learners.small.grid]
d_block = [4, 8]
lr = [1, 0.01]

[resamplings.holdout]
ratio = 0.5
seed = 1

[resamplings."three folds"]
resampling = "cv"
folds = 3
"""


def test_a_design_says_what_the_library_would_be_told(folder) -> None:
    design = read(folder, WHOLE)
    mine = ol.Task.from_file(
        folder / "mine.csv", "y", name="mine", positive="u", group="site", kinds={"zip": "categorical"}, ignore=["size"]
    )
    small = {
        f"small(d_block={d_block}, lr={lr})": ol.learner(
            "mlp", max_epochs=1, patience=None, datetime_parts=("year", "month"), d_block=d_block, lr=lr, seed=4
        )
        for d_block in (4, 8)
        for lr in (1, 0.01)
    }
    learners = {"plain": ol.learner("featureless"), **small}
    flowers = ol.Task.from_file("example:iris", "species", name="flowers")
    resamplings = {"holdout": ol.Holdout(0.5, seed=1), "three folds": ol.CV(3, seed=4)}
    expected = ol.grid([mine, flowers], learners, resamplings)
    by_name = {(cell.task_name, cell.learner_name, cell.resampling_name): cell for cell in design.cells}
    assert len(design.cells) == len(expected) == 20
    for cell in expected:
        read_cell = by_name[cell.task_name, cell.learner_name, cell.resampling_name]
        assert read_cell.learner == cell.learner
        assert read_cell.splits == cell.splits
        assert read_cell.task.schema == cell.task.schema
        pd.testing.assert_frame_equal(read_cell.task.frame, cell.task.frame)
    assert design.n_fits == 2 * 5 * (1 + 3)
    assert {**design.options, "measures": [measure.name for measure in design.options["measures"]]} == {
        "measures": ["acc", "logloss"], "time_limit": 60.0, "fallback": ol.learner("featureless"),
        "store": folder / "results", "models": True,
    }  # fmt: skip
    assert repr(design).startswith("Design(tasks: 'mine', 'flowers'; learners: 'plain', 'small(d_block=4, lr=1)', ")


def test_arguments_replace_what_a_design_says(folder) -> None:
    text = 'measures = "acc"\nstore = "results"\nmodels = true\nlearners = ["featureless"]\nresamplings = ["holdout"]\n'
    design = read(folder, f'{text}[tasks.flowers]\ndata = "example:iris"\n')
    result = ol.benchmark(design)
    assert result.measures == ("acc",)
    assert ol.BenchmarkResult.load(folder / "results").scores.equals(result.scores)
    assert (folder / "results/runs/flowers/featureless/holdout/0000.onnx").is_file()
    other = ol.benchmark(design, measures=["logloss"], store=folder / "others")
    assert other.measures == ("logloss",)
    assert ol.BenchmarkResult.load(folder / "others").measures == ("logloss",)
    with pytest.raises(ParameterError, match="a design has its learners"):
        ol.benchmark(design, ol.learner("mlp"))
    with pytest.raises(ParameterError, match="n_jobs is a number of processes"):
        ol.benchmark(design, n_jobs=0)


BASE = '[tasks.one]\ndata = "example:iris"\n[tasks.two]\ndata = "example:wine"\n'


def names(design: ol.Design) -> list[str]:
    return [f"{cell.task_name} {cell.learner_name} {cell.resampling_name}" for cell in design.cells]


def test_cells_say_which_learner_is_run_where(folder) -> None:
    text = f"""\
{BASE}
[learners.linear]
grid.max_epochs = [1, 2]
[learners.featureless]
[resamplings]
cv = {{}}
holdout = {{}}
[[cells]]
task = "two"
learner = "linear"
resampling = ["holdout", "cv"]
[[cells]]
resampling = "holdout"
learner = "featureless"
[[cells]]
task = ["two"]
learner = ["featureless", "linear"]
resampling = "holdout"
"""
    linear = ["linear(max_epochs=1)", "linear(max_epochs=2)"]
    assert names(read(folder, text)) == [
        *(f"two {name} holdout" for name in linear), *(f"two {name} cv" for name in linear),
        "one featureless holdout", "two featureless holdout",
    ]  # fmt: skip


def test_resamplings_nest_and_are_loaded(folder) -> None:
    flowers = ol.example_task("iris")
    saved = ol.Holdout(0.7, seed=9).split(flowers)
    saved.save(folder / "saved.json")
    text = """\
seed = 2
learners = ["featureless"]
[tasks.iris]
data = "example:iris"
[resamplings.nested]
outer = { resampling = "cv", folds = 3, stratify = false }
inner = "holdout"
[resamplings.custom]
train = [[0, 1, 50, 100], [5, 55, 105]]
test = [[2, 52, 102], [3, 53, 103]]
[resamplings.saved]
splits = "saved.json"
[resamplings.series]
resampling = "bootstrap"
repeats = 2
seed = 0
"""
    found = {cell.resampling_name: cell.splits for cell in read(folder, text).cells}
    assert found["nested"] == ol.Nested(ol.CV(3, seed=2, stratify=False), ol.Holdout(seed=2)).split(flowers)
    assert found["custom"].train(1).tolist() == [5, 55, 105]
    assert found["saved"] == saved
    assert found["series"] == ol.Bootstrap(repeats=2).split(flowers)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(DesignError) as caught:
        read(folder, text)
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    start = f"{folder / 'design.toml'}:"
    assert all(mistake.startswith(start) for mistake in caught.value.mistakes)
    return [mistake.removeprefix(start) for mistake in caught.value.mistakes]


# Behind each ## stands the mistake of its line; several of a line are parted by |.
WRONG = """\
measures = ["acc", "aucc", ## measures[2]: there is no measure 'aucc'
  "acc"] ## measures[3]: measure 'acc' is there twice
seed = -1 ## seed: has to be int >= 0, not -1
time_limit = "10" ## time_limit: has to be float > 0, not '10'
"stor e" = "x" ## "stor e": a design has no such key. Did you mean 'store'?
fallback = "featurless" ## fallback: there is no learner 'featurless'
models = 1 ## models: has to be bool, not 1
[tasks.example]
data = "example:iri" ## tasks.example.data: there is no example 'iri'; .* Did you mean 'iris'
[tasks.columns]
data = "mine.csv"
target = "yy" ## tasks.columns.target: .* needs column 'yy'; the table has .* Did you mean 'y'
group = "sites" ## tasks.columns.group: .* needs column 'sites'; .* Did you mean 'site'
kinds = { zap = "categorical" } ## tasks.columns.kinds.zap: .* 'zap'
ignore = [
  "size", "sze"] ## tasks.columns.ignore[2]: .* 'sze'; the table has
measures = ["acc"] ## tasks.columns.measures: is said for all tasks: move it above the first table
colour = 1 ## tasks.columns.colour: a task has no such key. There are 'data',
[tasks.file]
data = "mine.tsv" ## tasks.file.data: there is no file
target = "y"
[tasks.nothing] ## tasks.nothing: needs a target | tasks.nothing: needs data: data = "penguins.csv"
[tasks.stdin]
data = "-" ## tasks.stdin.data: has to be a file, not standard input
target = "y"
[tasks.words] ## tasks.words: target 'y', line 2: regression needs numbers
data = "mine.csv"
target = "y"
type = "regression"
[tasks.kind]
data = "mine.csv"
target = "y"
type = "classes" ## tasks.kind.type: has to be auto .* not 'classes'
[learners.mlp]
d_blok = 64 ## learners.mlp.d_blok: learner 'mlp' has no such parameter. Did you mean 'd_block'?
d_block = 0 ## learners.mlp.d_block: has to be int >= 1, not 0
lr = "fast" ## learners.mlp.lr: has to be float .* > 0, not 'fast'
[learners.wide] ## learners.wide: there is no learner 'wide'; .* say what it is: learner = "mlp"
d_block = 512
[learners.odd]
learner = "mpl" ## learners.odd.learner: there is no learner 'mpl'; .* Did you mean 'mlp'?
[learners.list]
learner = ["mlp"] ## learners.list.learner: has to be the name of a learner, not ['mlp']
[learners.base]
learner = "bagging"
base = "mpl" ## learners.base.base: there is no learner 'mpl'
d_block = 0 ## learners.base.d_block: has to be int >= 1
[learners.bagged]
learner = "bagging"
n_folds = 3
d_block = 0 ## learners.bagged.d_block: has to be int >= 1, not 0
[learners.grids.grid] ## learners.grids: there is no learner 'grids'
lr = 0.1 ## learners.grids.grid.lr: has to be a list of values to try, not 0.1
[learners.linear]
max_epochs = 2
grid.max_epochs = [2] ## learners.linear.grid.max_epochs: is set beside the grid as well
[learners.two]
learner = "linear"
grid = { max_epochs = [2, -3, 4], lrr = [1, 2] } ## learners.two.grid.lrr: .* Did you mean 'lr' | .*epochs[2]: .* not -3
[resamplings.cv]
folds = 1 ## resamplings.cv.folds: has to be int >= 2, not 1
seeed = 3 ## resamplings.cv.seeed: resampling 'cv' has no such parameter. Did you mean 'seed'?
[resamplings.holdut] ## resamplings.holdut: there is no resampling 'holdut'; .* say what it is: resampling = "cv"
[resamplings.nested] ## resamplings.nested: needs inner
outer = { resampling = "cv", folds = "3" } ## resamplings.nested.outer.folds: has to be int >= 2, not '3'
[resamplings.file]
splits = "no.json" ## resamplings.file.splits: cannot read the splits
seed = 1 ## resamplings.file.seed: means nothing beside splits
[resamplings.custom] ## resamplings.custom: resampling 'custom' needs the parameter 'test'
train = [[1, 2]]
[[cells]]
task = "colums" ## cells[1].task: there is no task 'colums'; .* Did you mean 'columns'?
learner = ["mlp", "mpl"] ## cells[1].learner: there is no learner 'mpl'
[[cells]]
tasks = "file" ## cells[2].tasks: a cell has no such key. Did you mean 'task'?
resampling = 3 ## cells[2].resampling: has to be str .* not 3
"""


def test_all_mistakes_are_told_each_with_its_line(folder) -> None:
    expected = [
        (number, mistake)
        for number, line in enumerate(WRONG.splitlines(), start=1)
        for mistake in line.partition(" ## ")[2].split(" | ")
        if mistake
    ]
    found = mistakes(folder, re.sub(" ## .*", "", WRONG))
    for mistake, (number, text) in zip(found, expected, strict=True):
        assert re.match(".*".join(map(re.escape, f"{number}: {text}".split(".*"))), mistake), (mistake, text)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "there are no tasks, and a benchmark needs some: "),
        ("seed = 1\n\ntasks = 3\n", 3, "tasks: has to be a table, not 3: [tasks.penguins] with data"),
        ('learners = ["mlp",\n "linear",\n "mlp"]\n', 3, "learners[3]: 'mlp' is there twice"),
        ('learners = ["mlp",\n "lineer"]\n', 2, "learners.lineer: there is no learner 'lineer'; "),
        ("learners = [3]\n", 1, "learners: has to be a table, not [3]"),
        ("[learners]\nmlp = 3\n", 2, "learners.mlp: has to be a table, not 3"),
        ("cells = []\n", 1, "cells: has to be a list of tables, not []"),
        ("[cells]\ntask = 'one'\n", 1, "cells: has to be a list of tables, not {'task': 'one'}"),
        ("fallback = { d_block = 3 }\n", 1, "fallback: needs to say which learner"),
        ("fallback = { learner = 'mlp', d_blok = 3 }\n", 1, "fallback.d_blok: learner 'mlp' has no such parameter"),
        ("fallback = 'many'\n[learners.many]\nlearner = 'linear'\ngrid = { l1 = [1, 2] }\n", 1, "the grid of 'many' makes 2"),
        ("a = 1\na = 2\n", 2, "no valid TOML: Cannot overwrite a value"),
        ("[learners.mlp]\n[learners.mlp]\n", 2, "no valid TOML: Cannot declare ('learners', 'mlp') twice"),
    ],
)
def test_one_mistake_among_others(folder, text, line, message) -> None:
    found = mistakes(folder, text)
    assert any(mistake.startswith(f"{line}: ") and message in mistake for mistake in found), found


def test_mistakes_that_show_only_when_all_is_read(folder) -> None:
    text = f"""\
measures = ["acc", "rmse"]
{BASE}
[learners."linear(l1=2)"]
learner = "linear"
[learners.linear]
grid = {{ l1 = [1, 2] }}
[resamplings.cv]
folds = 5
[resamplings.time_series]
"""
    with pytest.raises(ParameterError) as caught:
        ol.TimeSeriesSplit().split(ol.example_task("iris"))
    no_order = str(caught.value)
    assert [mistake.partition(": ")[::2] for mistake in mistakes(folder, text)] == [
        ("1", "measures[2]: measure 'rmse' is for regression, and no task is one (onnxlearn measures)"),
        ("9", "learners.linear: two learners are called 'linear(l1=2)': give one of them another name"),
        ("13", f"resamplings.time_series: on task 'one': {no_order}"),
        ("13", f"resamplings.time_series: on task 'two': {no_order}"),
    ]


def test_a_file_that_is_no_design(folder) -> None:
    with pytest.raises(DataError, match=r"cannot read the design '.*none.toml': No such file"):
        ol.read_design(folder / "none.toml")
    with pytest.raises(DataError, match="cannot read the design"):
        ol.read_design(folder)
    (folder / "latin.toml").write_bytes("seed = 1\n# gr\u00fcn\n".encode("latin-1"))
    with pytest.raises(DesignError, match=r"latin.toml:2: a design is UTF-8 text"):
        ol.read_design(folder / "latin.toml")


def test_a_mark_before_the_first_line_and_windows_lines_are_read(folder) -> None:
    text = f'learners = ["featureless"]\nresamplings = ["holdout"]\n{BASE}'
    (folder / "design.toml").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert names(ol.read_design(folder / "design.toml")) == ["one featureless holdout", "two featureless holdout"]
