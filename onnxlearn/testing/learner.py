"""The contract of learners, as checks that raise AssertionError; for this package's learners and those of plug-ins."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.learner import Learner
from onnxlearn.model import Model
from onnxlearn.registry import learner_infos
from onnxlearn.task import Task
from onnxlearn.testing.elsewhere import check_elsewhere
from onnxlearn.testing.levels import check_levels
from onnxlearn.testing.parity import BATCH_SIZES, LARGEST_TOLERANCE, TOLERANCE, assert_parity, expect, run_reference
from onnxlearn.testing.torchfree import check_without_torch
from onnxlearn.wire.feeds import join_feeds

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, np.dtype[Any]]

# onnx.reference is slow.
REFERENCE_ROWS = 16
# Those with columns of every kind.
FITS_ELSEWHERE = 4


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
            # Some of which no row has.
            "code": pd.Categorical(rng.integers(100, 120, n_rows), range(100, 125)),
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


def example_images(n_rows: int = 60, seed: int = 0) -> list[Array | None]:
    """Colour images of several sizes, uint8 ``[H, W, 3]``; of some rows none."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(5, 12, (n_rows, 2))
    return [rng.integers(0, 256, (*size, 3), np.uint8) if rng.random() < 0.9 else None for size in sizes.tolist()]


def example_texts(n_rows: int = 60, seed: int = 0) -> list[str | None]:
    """Texts of words of which some are rare, in several spellings; of some rows none."""
    rng = np.random.default_rng(seed)
    words = [f"{a}{b}" for a in "bdgklm" for b in ("ad", "Ill", "OR", "um")]
    texts = [" ".join(rng.choice(words[: 4 + 4 * (i % 6)], rng.integers(1, 20))) for i in range(n_rows)]
    return [f"{text.capitalize()}." if rng.random() < 0.9 else None for text in texts]


Columns: TypeAlias = Literal[
    "mixed", "numeric", "categorical", "one number", "one category", "images", "mixed with images", "texts", "mixed with texts"
]

_COLUMNS: dict[Columns, tuple[str, ...]] = {
    "mixed": ("size", "width", "count", "shape", "code", "grade", "open", "day", "still"),
    "numeric": ("size", "width", "count"),
    "categorical": ("shape", "code"),
    "one number": ("width",),
    "one category": ("shape",),
    "images": ("picture",),
    "mixed with images": ("size", "shape", "code", "picture"),
    "texts": ("words",),
    "mixed with texts": ("size", "shape", "code", "words"),
}
_TABLES: tuple[Columns, ...] = ("mixed", "numeric", "categorical", "one number", "one category")


def example_tasks(n_rows: int = 60, columns: Columns = "mixed") -> dict[str, Task]:
    """Tasks of :func:`example_frame`: several classes, two classes, one number, several numbers.

    ``columns``: all of them, numbers alone, categories alone, one single number, one single category, images alone and beside
    others, or texts so.
    """
    import pandas as pd

    frame = example_frame(n_rows)
    kinds = {}
    if "picture" in _COLUMNS[columns]:
        frame["picture"] = pd.Series(example_images(n_rows), dtype=object)
        kinds["picture"] = "image"
    if "words" in _COLUMNS[columns]:
        frame["words"] = pd.Series(example_texts(n_rows), dtype=object)
        kinds["words"] = "text"
    targets: dict[str, str | list[str]] = {"classes": "sort", "two": "two", "number": "amount", "numbers": ["amount", "count"]}
    tasks = {}
    for name, target in targets.items():
        names = [target] if isinstance(target, str) else target
        kept = [column for column in _COLUMNS[columns] if column not in names]
        tasks[name] = Task.from_frame(frame[[*kept, *names]], target, name=f"{columns} {name}", kinds=kinds)
    return tasks


def check_learner(learner: Learner, tasks: Iterable[Task] | None = None) -> None:
    """A learner keeps its contract on each of these tasks.

    Default: :func:`example_tasks` of the types that it can do, with columns of every kind, with numbers alone, with
    categories alone, with one number and with one category; for learners that take images or texts, with these too.

    Its parameters round-trip and refuse unknown names; tasks of other types are refused; it gives the same bytes again, in
    this process and in another one. The file takes batches of any size and hostile rows, gives finite outputs of the promised
    types, those that ``onnx.reference`` computes and that it gives where torch cannot be imported; unseen and missing
    categories are no levels. It says how it was made and scored, and proves that it computes what was trained: by the parity
    in its metadata, unless it predicts the same for all rows, and by what :meth:`Learner.reference` computes, if it does.
    """
    check_params(learner)
    check_types(learner)
    fits: list[tuple[Task, Task, bytes]] = []
    models = []
    for task in _tasks_for(learner) if tasks is None else tasks:
        train, test = _parts(task)
        model = _check_fit(learner, task, again=not fits)
        fits.append((train, test, model.to_bytes()))
        models.append((model, join_feeds(task.feeds(), hostile_feeds(task.schema))))
    check_without_torch(models)
    check_elsewhere(learner, fits[:FITS_ELSEWHERE])


def check_fit(learner: Learner, task: Task) -> Model:
    """What :func:`check_learner` says of the file of one fit, which is given back; in this process alone."""
    return _check_fit(learner, task, again=False)


def _check_fit(learner: Learner, task: Task, *, again: bool) -> Model:
    train, test = _parts(task)
    model = learner.fit(train, test=test, progress=False)
    try:
        if again:
            expect(learner.fit(train, test=test, progress=False) == model, "a second fit gives other bytes")
        _check_document(learner, model, train, test)
        _check_outputs(model, train.feeds())
        _check_outputs(model, hostile_feeds(model.schema))
        _check_computation(learner, model, train)
        check_levels(model, train)
    except AssertionError as error:
        raise AssertionError(f"task {task.schema.name!r}: {error}") from error
    return model


def _parts(task: Task) -> tuple[Task, Task]:
    """Rows to train and to test on."""
    return task.split(0.25, 1)


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
    info = learner_infos().get(learner.name)
    takes_images = info is not None and "image" in info.kinds
    takes_texts = info is not None and "text" in info.kinds
    needs_images = info is not None and info.needs_kind == "image"
    chosen = [columns for columns in _TABLES if not needs_images]
    chosen += [columns for columns, names in _COLUMNS.items() if takes_images and "picture" in names]
    chosen += [columns for columns, names in _COLUMNS.items() if takes_texts and "words" in names]
    tasks = [task for columns in chosen for task in example_tasks(columns=columns).values()]
    return [task for task in tasks if task.schema.target.type in learner.tasks]


def _check_document(learner: Learner, model: Model, train: Task, test: Task) -> None:
    document = model.metadata
    expect(document["learner"] == json.loads(json.dumps(learner.to_dict())), "the metadata tells another learner")
    expect(model.schema.features == train.schema.features, "the model's features are not those of the task")
    expect(model.schema.target == train.schema.target, "the model's target is not that of the task")
    training = document["training"]
    expect(training["n_rows"] == train.n_rows, "n_rows is not the number of rows of the task")
    scores, told = model.score(test), training["scores"].get("test", {})
    expect(told.keys() == scores.keys(), f"the test scores are {sorted(told)}, not {sorted(scores)}")
    for name, value in told.items():
        same = np.isnan(scores[name]) if value is None else np.isclose(value, scores[name], rtol=1e-6)
        expect(bool(same), f"the test score {name} is {value}, the file scores {scores[name]}")
    if training.get("n_validation_rows"):
        expect(training["scores"].get("validation", {}).keys() == scores.keys(), "validation scores are missing")
    # Unlike the model that was just fitted, one of bytes is held against what a file may not have.
    opened = Model(model.to_bytes())
    expect(opened == model, "the bytes do not open as an equal model")
    expect(opened.verify().ok, "the file gives other outputs for its self-test than it holds")


def _check_computation(learner: Learner, model: Model, train: Task) -> None:
    """The file computes what the standard says, and what was trained."""
    rows = join_feeds({name: array[:REFERENCE_ROWS] for name, array in train.feeds().items()}, hostile_feeds(train.schema, 16))
    scaling = {} if train.schema.target.classes else {"center": train.truth().mean(axis=0), "scale": train.truth().std(axis=0)}
    parity, outputs = model.metadata["parity"], model.predict_feeds(rows)
    tolerance = max(TOLERANCE, parity.get("tolerance", 0.0))
    expect(tolerance <= LARGEST_TOLERANCE, f"the parity allows {tolerance:g}, more than {LARGEST_TOLERANCE:g}")
    expected = run_reference(model.to_bytes(), rows)
    assert_parity(model.to_bytes(), rows, expected, **scaling, tolerance=tolerance, batch_sizes=())
    if parity or not _is_constant(outputs):
        expect(bool(parity), "the metadata has no parity, which tells that the file was compared with what was trained")
        expect(parity["n_rows"] > 0, "the parity was measured on no rows")
        # Relative to the numbers where these are large; on rows of which some are not these ones.
        limit = 2 * tolerance * (1 + _largest(outputs, **scaling))
        expect(0 <= parity["max_difference"] <= limit, f"the parity is {parity['max_difference']:g}, more than {limit:g}")
    reference = learner.reference(train)
    if reference is not None:
        assert_parity(model.to_bytes(), rows, reference(rows), **scaling, tolerance=tolerance)


def _largest(outputs: Mapping[str, Array], center: Array | float = 0.0, scale: Array | float = 1.0) -> float:
    """The largest probability, or number in standard deviations."""
    values = outputs["probabilities"] if "probabilities" in outputs else (outputs["prediction"] - center) / scale
    return float(np.abs(values).max())


def _is_constant(outputs: Mapping[str, Array]) -> bool:
    return all(bool((array == array[:1]).all()) for array in outputs.values())


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
