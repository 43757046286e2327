"""Examples: what their records say, what scikit-learn has, and what chance may change."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
import sklearn.datasets

import onnxlearn as ol
from onnxlearn.errors import MissingExtraError, ParameterError, UnknownNameError
from onnxlearn.examples.frames import example_csv, example_frame
from onnxlearn.files.tables import read_whole

NAMES = list(ol.example_tasks())
GENERATED = [info.name for info in ol.example_tasks().values() if info.origin == "generated"]
BUNDLED = [info.name for info in ol.example_tasks().values() if info.origin == "scikit-learn"]


@pytest.mark.parametrize("name", NAMES)
def test_the_record_says_what_the_task_is(name: str) -> None:
    info, task = ol.example_tasks()[name], ol.example_task(name)
    target = task.schema.target
    assert (info.name, info.n_rows, info.n_features) == (task.name, task.n_rows, len(task.schema.features))
    assert (info.type, info.target) == (target.type, target.names)
    assert (info.noise is not None) == (info.origin == "generated")
    assert info.summary
    assert info.source
    if name != "penguins":
        assert tuple(task.frame.columns[-len(info.target) :]) == info.target


@pytest.mark.parametrize("name", NAMES)
def test_the_command_line_reads_the_same_task(name: str) -> None:
    info = ol.example_tasks()[name]
    task, read = ol.example_task(name), ol.Task.from_file(f"example:{name}", list(info.target))
    assert read.schema == task.schema
    pd.testing.assert_frame_equal(read.frame, task.frame)


@pytest.mark.parametrize("name", NAMES)
def test_column_names_can_be_read_and_classes_are_text(name: str) -> None:
    task = ol.example_task(name)
    assert all(column.isidentifier() and column.islower() for column in task.frame.columns)
    kinds = {type(label) for label in task.schema.target.classes}
    assert kinds <= ({int} if name == "digits" else {str})


def test_the_penguins_stay_the_shipped_file() -> None:
    assert ol.example_task("penguins").frame.equals(ol.Task.from_file("example:penguins", "species").frame)


# scikit-learn's


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_values_are_those_of_scikit_learn(name: str) -> None:
    options = {"scaled": False} if name == "diabetes" else {}
    data = getattr(sklearn.datasets, f"load_{name}")(**options)
    task = ol.example_task(name)
    np.testing.assert_array_equal(np.hstack([task.feeds()[column] for column in task.schema.feature_names]), data.data)
    truth = task.truth()
    if name == "breast_cancer":  # sorted: benign, malignant; there: malignant, benign
        truth = 1 - truth
    np.testing.assert_array_equal(truth.reshape(data.target.shape), data.target)


def test_names_of_columns_stand_over_their_values() -> None:
    # The first row of each table as its publication has it.
    iris = ol.example_task("iris").frame.iloc[0].to_dict()
    assert iris == {
        "sepal_length_cm": 5.1, "sepal_width_cm": 3.5, "petal_length_cm": 1.4, "petal_width_cm": 0.2, "species": "setosa"
    }  # fmt: skip
    diabetes = ol.example_task("diabetes").frame.iloc[0]
    assert diabetes[["age", "bmi", "hdl", "cholesterol_ratio", "progression"]].tolist() == [59, 32.1, 38, 4, 151]
    # The ratio is total cholesterol over hdl, mostly in whole numbers; with any other two columns it agrees less.
    frame = ol.example_task("diabetes").frame
    assert np.corrcoef(frame["total_cholesterol"] / frame["hdl"], frame["cholesterol_ratio"])[0, 1] > 0.97
    assert ol.example_task("breast_cancer").positive == "malignant"


def test_generators_of_scikit_learn_get_noise_and_seed() -> None:
    points, codes = sklearn.datasets.make_moons(60, noise=0.3, random_state=5)
    moons = ol.example_task("moons", n_rows=60, noise=0.3, seed=5)
    np.testing.assert_array_equal(moons.frame[["x1", "x2"]], points)
    assert moons.frame["class"].tolist() == [("upper", "lower")[code] for code in codes]
    features, y = sklearn.datasets.make_friedman2(60, noise=3.0, random_state=5)
    friedman = ol.example_task("friedman2", n_rows=60, noise=3.0, seed=5).frame
    np.testing.assert_array_equal(friedman, np.column_stack([features, y]))


# Shapes


def points(name: str, **settings) -> tuple[np.ndarray, np.ndarray]:
    frame = ol.example_task(name, **settings).frame
    return frame.drop(columns="class").to_numpy(), frame["class"].to_numpy(str)


def test_the_upper_moon_is_above() -> None:
    xy, labels = points("moons", noise=0, n_rows=200)
    assert xy[labels == "upper", 1].min() >= -1e-9
    assert xy[labels == "lower", 1].max() <= 0.5 + 1e-9


def test_the_inner_circle_is_inside() -> None:
    xy, labels = points("circles", noise=0)
    radius = np.hypot(*xy.T)
    np.testing.assert_allclose(radius, np.where(labels == "inner", 0.5, 1))


def test_spirals_never_meet_and_turn_together() -> None:
    xy, labels = points("spirals", noise=0, n_rows=600)
    first, second = xy[labels == "first"], xy[labels == "second"]
    radius = np.hypot(*xy.T)
    assert 0.25 <= radius.min() < 0.3
    assert 0.98 < radius.max() <= 1
    # Archimedean with 1.5 turns, half a turn apart: the arms are 1 / 3 apart along a ray, and less across it.
    assert np.linalg.norm(first[:, None] - second[None], axis=2).min() > 0.2
    angle = np.arctan2(*xy.T[::-1]) - 3 * np.pi * radius
    np.testing.assert_allclose(np.cos(angle), np.where(labels == "first", 1, -1))


def test_xor_is_about_the_signs() -> None:
    xy, labels = points("xor", noise=0)
    assert ((xy[:, 0] * xy[:, 1] > 0) == (labels == "same")).all()
    # Neither number alone says anything: within four standard errors of one half.
    for column in xy.T:
        assert abs(np.mean((column > 0) == (labels == "same")) - 0.5) < 4 * 0.5 / np.sqrt(len(xy))


def test_the_best_rule_for_the_normals_is_right_as_often_as_said() -> None:
    xy, labels = points("normals", n_rows=20_000)
    best = NormalDist().cdf(np.sqrt(2))  # the centres are the square root of 2 away from the line between them
    assert f"{100 * best:.1f} %" in ol.example_tasks()["normals"].summary
    right = np.mean((xy.sum(axis=1) > 0) == (labels == "right"))
    assert abs(right - best) < 4 * np.sqrt(best * (1 - best) / len(xy))


def test_the_corners_of_the_simplex_are_one_apart() -> None:
    xyz, labels = points("simplex", noise=0)
    corners = np.array([xyz[labels == label][0] for label in "abcd"])
    assert {tuple(row) for row in xyz} == {tuple(row) for row in corners}
    distances = np.linalg.norm(corners[:, None] - corners[None], axis=2)
    np.testing.assert_allclose(distances, 1 - np.eye(4))


@pytest.mark.parametrize("name", GENERATED)
def test_noise_is_a_standard_deviation(name: str) -> None:
    """The same seed draws the same clean rows, so the difference is the noise."""
    clean, noisy = (example_frame(name, n_rows=4000, noise=noise, seed=3) for noise in (0.0, 0.25))
    columns = ["y"] if "y" in clean else [column for column in clean if column != "class"]
    for column in columns:
        added = noisy[column] - clean[column]
        assert abs(added.mean()) < 4 * 0.25 / np.sqrt(4000)
        assert abs(added.std() - 0.25) < 4 * 0.25 / np.sqrt(8000)
    pd.testing.assert_frame_equal(noisy.drop(columns=columns), clean.drop(columns=columns))


# Chance


@pytest.mark.parametrize("name", GENERATED)
def test_the_seed_decides_and_nothing_else(name: str) -> None:
    first = example_frame(name, n_rows=50, seed=1)
    np.random.seed(99)  # noqa: NPY002  the global state must not matter, nor change
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    pd.testing.assert_frame_equal(example_frame(name, n_rows=50, seed=1), first)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    other = example_frame(name, n_rows=50, seed=2)
    # Where nothing is random but the noise and the order, the rows still differ.
    assert not other.equals(first)
    assert example_frame(name, n_rows=50).equals(example_frame(name, n_rows=50, seed=0))


def test_another_process_draws_the_same() -> None:
    code = f"""
import hashlib
from onnxlearn.examples.frames import example_csv
print(hashlib.sha256(b"".join(map(example_csv, {GENERATED}))).hexdigest())
"""
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(b"".join(map(example_csv, GENERATED))).hexdigest()


@pytest.mark.parametrize("name", [name for name in GENERATED if not name.startswith("friedman")])
@pytest.mark.parametrize("n_rows", [10, 11, 202])
def test_classes_are_of_equal_size(name: str, n_rows: int) -> None:
    task = ol.example_task(name, n_rows=np.int64(n_rows), seed=4)
    counts = np.bincount(task.truth(), minlength=len(task.schema.target.classes))
    assert task.n_rows == n_rows == counts.sum()
    assert np.ptp(counts) <= 1


# Refused


def test_an_unknown_name_gets_the_nearest() -> None:
    for ask in (ol.example_task, example_frame, lambda name: read_whole(f"example:{name}")):
        with pytest.raises(UnknownNameError, match=r"there is no example 'moon'; .*Did you mean 'moons'\?"):
            ask("moon")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_rows": 9}, "n_rows has to be a whole number from 10 on, not 9"),
        ({"n_rows": 100.0}, "n_rows has to be a whole number from 10 on, not 100.0"),
        ({"n_rows": True}, "n_rows has to be .*, not True"),
        ({"noise": -0.1}, "noise is a standard deviation, a finite number from 0 on, not -0.1"),
        ({"noise": float("nan")}, "finite number from 0 on, not nan"),
        ({"noise": float("inf")}, "finite number from 0 on, not inf"),
        ({"noise": "much"}, "not 'much'"),
        ({"seed": -1}, r"seed has to be a whole number in 0..4294967295, not -1"),
        ({"seed": 2**32}, "not 4294967296"),
    ],
)
@pytest.mark.parametrize("name", ["moons", "xor"])
def test_settings_out_of_range(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ol.example_task(name, **settings)


@pytest.mark.parametrize("name", ["penguins", "iris"])
@pytest.mark.parametrize("setting", ["n_rows", "noise", "seed"])
def test_a_table_takes_no_settings(name: str, setting: str) -> None:
    message = (
        rf"example '{name}' is a table of \d+ rows and takes no {setting}; those that are generated do: 'moons', 'circles'"
    )
    with pytest.raises(ParameterError, match=message):
        ol.example_task(name, **{setting: 0})


def test_without_scikit_learn_some_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for name in ("penguins", "spirals", "xor", "normals", "simplex"):
        assert ol.example_task(name).n_rows > 0
    for name in ("iris", "moons", "friedman1"):
        with pytest.raises(MissingExtraError, match=rf"example '{name}' needs the package scikit-learn: pip install"):
            ol.example_task(name)
