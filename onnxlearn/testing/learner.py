"""The contract of learners, as checks that raise AssertionError; for this package's learners and those of plug-ins."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.learner import Learner
from onnxlearn.model import Model
from onnxlearn.registry import learner_infos
from onnxlearn.task import Task
from onnxlearn.testing.parity import BATCH_SIZES, expect
from onnxlearn.testing.torchfree import check_without_torch
from onnxlearn.wire.feeds import join_feeds

if TYPE_CHECKING:
    import pandas as pd


def example_frame(n_rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """A table with a column of every kind, holes in most, and the targets ``sort``, ``two`` and ``amount``."""
    import pandas as pd

    rng = np.random.default_rng(seed)

    def holes() -> np.ndarray[Any, np.dtype[np.bool_]]:
        return rng.random(n_rows) < 0.1

    size = rng.normal(size=n_rows)
    shape = rng.choice(["round", "long", "flat", "ground"], n_rows)
    frame = pd.DataFrame(
        {
            "size": pd.Series(size).mask(holes()),
            "width": rng.normal(50, 10, n_rows).astype(np.float32),
            "count": rng.integers(0, 9, n_rows),
            "shape": pd.Series(shape, dtype=object).mask(holes()),
            "code": pd.Categorical(rng.integers(100, 120, n_rows)),
            "grade": pd.Categorical(rng.choice(["low", "mid", "high"], n_rows), ["low", "mid", "high"], ordered=True),
            "open": pd.Series(rng.random(n_rows) < 0.5, dtype="boolean").mask(holes()),
            "day": pd.Timestamp("1965-03-01") + pd.to_timedelta(rng.integers(0, 9000, n_rows), unit="D"),
            "still": 1.0,
        }
    )
    frame["sort"] = np.where(size > 0.5, "größe", np.where(shape == "flat", "b", "a"))
    frame["two"] = size + (shape == "long") > 0
    frame["amount"] = 1.7e9 + size + rng.normal(0, 0.1, n_rows)
    return frame


Columns: TypeAlias = Literal["mixed", "numeric", "categorical", "one"]

_COLUMNS: dict[Columns, tuple[str, ...]] = {
    "mixed": ("size", "width", "count", "shape", "code", "grade", "open", "day", "still"),
    "numeric": ("size", "width", "count"),
    "categorical": ("shape", "code"),
    "one": ("width",),
}


def example_tasks(n_rows: int = 60, columns: Columns = "mixed") -> dict[str, Task]:
    """Tasks of :func:`example_frame`: several classes, two classes, one number, several numbers.

    ``columns``: all of them, numbers alone, categories alone, or one single number.
    """
    frame = example_frame(n_rows)
    targets: dict[str, str | list[str]] = {"classes": "sort", "two": "two", "number": "amount", "numbers": ["amount", "count"]}
    tasks = {}
    for name, target in targets.items():
        names = [target] if isinstance(target, str) else target
        kept = [column for column in _COLUMNS[columns] if column not in names]
        tasks[name] = Task.from_frame(frame[[*kept, *names]], target, name=f"{columns} {name}")
    return tasks


def check_learner(learner: Learner, tasks: Iterable[Task] | None = None) -> None:
    """A learner keeps its contract on each of these tasks.

    Default: :func:`example_tasks` of the types that it can do, with columns of every kind, with numbers alone, with
    categories alone and with one column.

    Its parameters round-trip and refuse unknown names; tasks of other types are refused; it gives the same bytes twice; the
    file takes batches of any size and hostile rows, gives finite outputs of the promised types, the same where torch cannot
    be imported, and says how it was made and scored.
    """
    check_params(learner)
    check_types(learner)
    models = []
    for task in _tasks_for(learner) if tasks is None else tasks:
        try:
            models.append((_check_task(learner, task), join_feeds(task.feeds(), hostile_feeds(task.schema))))
        except AssertionError as error:
            raise AssertionError(f"task {task.schema.name!r}: {error}") from error
    check_without_torch(models)


def _check_task(learner: Learner, task: Task) -> Model:
    train, test = task.split(0.25, 1)
    model = learner.fit(train, test=test, progress=False)
    expect(learner.fit(train, test=test, progress=False).to_bytes() == model.to_bytes(), "a second fit gives other bytes")
    _check_document(learner, model, train, test)
    _check_outputs(model, train.feeds())
    _check_outputs(model, hostile_feeds(model.schema))
    return model


def check_params(learner: Learner) -> None:
    """Every parameter says what it means, and copies keep the values."""
    expect(set(learner.values) == {param.name for param in learner.params}, "params and values name different parameters")
    for param in learner.params:
        expect(bool(param.type and param.meaning), f"parameter {param.name} does not say what it is")
    expect(learner.replace() == learner and learner.replace() is not learner, "replace() gives no equal copy")
    _raises(ParameterError, lambda: learner.replace(no_such_parameter=1))
    json.dumps(learner.to_dict(), allow_nan=False)


def check_types(learner: Learner) -> None:
    """The learner says which types of task it does, as its record does, and refuses the others."""
    info = learner_infos().get(learner.name)
    if info is not None and info.load() is type(learner):
        expect(set(info.tasks) == set(learner.tasks), f"the record does {info.tasks}, the class does {learner.tasks}")
    for task in example_tasks().values():
        if task.schema.target.type not in learner.tasks:
            _raises(DataError, functools.partial(learner.fit, task, progress=False))


def _tasks_for(learner: Learner) -> list[Task]:
    tasks = [task for columns in _COLUMNS for task in example_tasks(columns=columns).values()]
    return [task for task in tasks if task.schema.target.type in learner.tasks]


def _check_document(learner: Learner, model: Model, train: Task, test: Task) -> None:
    document = model.metadata
    expect(document["learner"] == json.loads(json.dumps(learner.to_dict())), "the metadata tells another learner")
    expect(model.schema.features == train.schema.features, "the model's features are not those of the task")
    expect(document["training"]["n_rows"] == train.n_rows, "n_rows is not the number of rows of the task")
    scores = model.score(test)
    for name, value in document["training"]["scores"]["test"].items():
        same = np.isnan(scores[name]) if value is None else np.isclose(value, scores[name], rtol=1e-6)
        expect(bool(same), f"the test score {name} is {value}, the file scores {scores[name]}")
    expect(Model(model.to_bytes()) == model, "the bytes do not open as an equal model")


def _check_outputs(model: Model, feeds: dict[str, np.ndarray[Any, Any]]) -> None:
    whole = model.predict_feeds(feeds)
    n_rows = len(next(iter(feeds.values())))
    for size in (*BATCH_SIZES, n_rows):
        n = min(size, n_rows)
        outputs = model.predict_feeds({name: array[:n] for name, array in feeds.items()})
        _check_values(model, outputs, n)
        for name, array in outputs.items():
            same = np.allclose(array, whole[name][:n], atol=1e-5) if array.dtype.kind == "f" else True
            expect(bool(same), f"{name} depends on the batch size")


def _check_values(model: Model, outputs: dict[str, np.ndarray[Any, Any]], n: int) -> None:
    target = model.schema.target
    for name, output in model.outputs.items():
        array = outputs[name]
        expect(array.shape == (n, *output.row_shape), f"{name} has shape {array.shape} for {n} rows")
        finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
        expect(finite and (array.dtype == np.float64) == (output.type == "DOUBLE"), f"{name} is not a finite {output.type}")
    if target.type == "regression":
        _check_spread(outputs)
        return
    prob, label = outputs["probabilities"], outputs["label"]
    expect(prob.dtype == np.float32 and np.allclose(prob.sum(axis=1), 1, atol=1e-5), "probabilities do not sum to 1")
    expect(bool((prob >= 0).all()), "a probability is negative or not a number")
    best = [target.classes[i] for i in _expected_labels(model, prob)]
    expect(label.tolist() == best, "a label is not the class of the highest probability, or of the threshold")


def _check_spread(outputs: dict[str, np.ndarray[Any, Any]]) -> None:
    """Intervals hold the prediction, quantiles ascend, standard deviations are not negative."""
    prediction = outputs["prediction"]
    if "lower" in outputs:
        inside = (outputs["lower"] <= prediction) & (prediction <= outputs["upper"])
        expect(bool(inside.all()), "an interval does not hold the prediction")
    if "quantiles" in outputs:
        expect(bool((np.diff(outputs["quantiles"]) >= 0).all()), "quantiles do not ascend")
    if "std" in outputs:
        expect(bool((outputs["std"] >= 0).all()), "a standard deviation is negative")


def _expected_labels(model: Model, prob: np.ndarray[Any, Any]) -> list[int]:
    """Position of the class that a row's probabilities call for."""
    threshold = model.metadata["training"].get("calibration", {}).get("threshold")
    if threshold is None:
        return [int(i) for i in prob.argmax(axis=1)]
    target = model.schema.target
    positive = next(i for i, label in enumerate(target.classes) if label == target.positive)
    return [positive if reached else 1 - positive for reached in prob[:, positive] >= np.float32(threshold)]


def _raises(expected: type[Exception], call: Callable[[], object]) -> None:
    try:
        call()
    except expected:
        return
    raise AssertionError(f"{expected.__name__} was not raised")
