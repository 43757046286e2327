"""fp16 and int8 of what every learner makes: smaller, finite, near to the model, and each row by itself."""

import contextlib

import numpy as np
import onnx
import pytest
from odd_tables import COLUMNS, TARGETS, make_task
from quick_learners import QUICK_OF, TABLE_LEARNERS, quick

from onnxlearn.errors import ParameterError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.model import load

KINDS = tuple(COLUMNS)
WAYS = {"fp16": {}, "int8": {}, "int8 static": {"mode": "static"}}
# Wide enough to have matrices that are worth it.
WIDE = {"d_block": 64}
HEADS = {
    "quantiles": ("number", {"head": "quantile", "quantiles": (0.1, 0.5, 0.9), "coverage": 0.5, "calibration": 0.5}),
    "normal": ("several numbers", {"head": "normal", "coverage": 0.5, "calibration": 0.5}),
    "sets": ("several texts", {"coverage": 0.5, "temperature": True, "calibration": 0.5}),
    "threshold": ("two texts", {"threshold": 0.3}),
}
LEARNERS = TABLE_LEARNERS
SOME = [("ensemble", "several texts"), ("tabm", "far number"), ("tabnet", "number"), ("linear", "several texts")]
# Without a large matrix in FLOAT: these keep their files, but where what little there is outweighs what is told of it.
NOT_WORTH_IT = {"featureless", "tabnet"}
SMALL = {"linear", "module"}
# Root mean square of what moves, as a share of the spread of the outputs. A transformer after two epochs moves most.
NEAR = {"fp16": 0.03, "int8": 0.25, "int8 static": 0.3}


@pytest.fixture(scope="module")
def tasks():
    return {target: make_task(KINDS, target, seed=0) for target in (*TARGETS, "several numbers")}


def wide(name, **options):
    made = quick(name, **options)
    known = {param.name for param in made.params}
    return made.replace(**{key: value for key, value in WIDE.items() if key in known and name not in QUICK_OF})


def check(model, task, way, folder):
    """The converted file beside the model: on the rows of the task, on hostile ones, and in batches of every size."""
    options = {**WAYS[way], **({"calibration": task} if "static" in way else {})}
    told = model.export(way.split()[0], folder / "converted.onnx", data=task, tolerance=0.1, seconds=0, **options)
    after = load(folder / "converted.onnx")
    assert len(after.to_bytes()) < len(model.to_bytes())
    assert any("become" in line for line in told)
    assert after.verify().ok
    assert after.verify(1e-5).ok
    feeds = task.feeds()
    before, now = model.predict_feeds(feeds), after.predict_feeds(feeds)
    for name, values in before.items():
        assert now[name].dtype == values.dtype
        if values.dtype.kind == "f":
            moved = np.sqrt(np.mean((now[name] - values) ** 2))
            assert 0 < moved <= NEAR[way] * np.std(values, axis=0).max(), name
    odd = hostile_feeds(model.schema, 60)
    every = after.predict_feeds(odd)
    for n in (0, 1, 37):
        some = after.predict_feeds({name: rows[:n] for name, rows in odd.items()})
        for name, values in every.items():
            assert some[name].shape == values[:n].shape
            if values.dtype.kind == "f":
                assert np.isfinite(values).all()
                np.testing.assert_allclose(some[name], values[:n], rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(values).max())))


@pytest.mark.parametrize(("name", "target"), SOME)
def test_every_learner(name, target, tasks, tmp_path):
    model = wide(name).fit(tasks[target], progress=False)
    for way in WAYS:
        refused = pytest.raises(ParameterError, match="gains nothing here")
        with refused if name in NOT_WORTH_IT else contextlib.nullcontext():
            try:
                check(model, tasks[target], way, tmp_path)
            except ParameterError as error:
                if name not in SMALL or "gains nothing here" not in str(error):
                    raise


@pytest.mark.slow
@pytest.mark.parametrize("target", [*TARGETS, "several numbers"])
@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_with_every_target(name, target, tasks, tmp_path):
    test_every_learner(name, target, tasks, tmp_path)


@pytest.mark.parametrize("name", ["quantiles", pytest.param("normal", marks=pytest.mark.slow), "sets",
                                  pytest.param("threshold", marks=pytest.mark.slow)])  # fmt: skip
def test_every_head(name, tmp_path):
    target, options = HEADS[name]
    task = make_task(KINDS, target, seed=1, n=120)
    model = wide("mlp", **options).fit(task, progress=False)
    for way in WAYS:
        check(model, task, way, tmp_path)


def test_the_parts_of_a_converted_model_are_the_whole(tasks, tmp_path):
    model = wide("ensemble").fit(tasks["far number"], progress=False)
    model.export("fp16", tmp_path / "half.onnx", data=tasks["far number"], seconds=0)
    assert load(tmp_path / "half.onnx").export("encoded", tmp_path / "parts") == []
    net = onnx.load(tmp_path / "parts" / "net.onnx").graph
    assert onnx.TensorProto.FLOAT16 in {tensor.data_type for tensor in net.initializer}
