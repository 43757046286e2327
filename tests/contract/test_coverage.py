"""Files of trained networks cover what they promise: 200 calibrations of each kind of network, and whole fits."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom

import onnxlearn as ol
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.postprocessing import Postprocessing

N_REPETITIONS, N_CALIBRATION, N_TEST = 200, 60, 40
COVERAGE = 0.8
QUICK = {"max_epochs": 3, "n_blocks": 1, "d_block": 8, "batch_size": 64, "lr": 1e-2}
KINDS = {
    "point": {},
    "quantile": {"head": "quantile"},
    "normal": {"head": "normal"},
    "classes": {"temperature": True},
}


def table(n_rows, seed):
    """Rows of which the truth is uncertain, in some places more than in others."""
    rng = np.random.default_rng(seed)
    x, kind = rng.normal(size=n_rows), rng.choice(["a", "b"], n_rows)
    frame = pd.DataFrame({"x": x, "kind": kind})
    frame["y"] = 100 + 10 * np.sin(x) + np.where(kind == "a", 1, 6) * rng.normal(size=n_rows)
    frame["class"] = np.array(["low", "mid", "high"])[np.digitize(frame["y"], [95, 105])]
    return frame


def task_of(kind, n_rows, seed):
    target, other = ("class", "y") if kind == "classes" else ("y", "class")
    return ol.Task.from_frame(table(n_rows, seed), target, ignore=other, levels={"kind": ["a", "b"]})


def covered(model_outputs, truth):
    """Which rows' truth is in the set or the interval."""
    if "set" in model_outputs:
        return model_outputs["set"][np.arange(len(truth)), truth]
    return ((model_outputs["lower"] <= truth) & (truth <= model_outputs["upper"]))[:, 0]


def band(n_repetitions, n_calibration, n_test, error=1e-4):
    """Lowest and highest number of covered rows in all repetitions together, but for chance of ``error``.

    Of n_test rows after n_calibration ones, split-conformal prediction covers a beta-binomial number (Vovk 2012).
    """
    k = int(np.ceil(COVERAGE * (n_calibration + 1) - 1e-9))
    one = betabinom.pmf(np.arange(n_test + 1), n_test, k, n_calibration + 1 - k)
    size = n_test * n_repetitions + 1
    total = np.fft.irfft(np.fft.rfft(one, 2 * size) ** n_repetitions, 2 * size)[:size].cumsum()
    return np.searchsorted(total, error / 2), np.searchsorted(total, 1 - error / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_calibrated_networks_cover_what_they_promise(kind):
    asked = {name: value for name, value in KINDS[kind].items() if name == "head"}
    model = ol.learner("mlp", **QUICK, **asked).fit(task_of(kind, 300, 0))
    config = OutputConfig(**KINDS[kind], coverage=COVERAGE)
    n_rows = N_CALIBRATION + N_TEST
    rows = task_of(kind, N_REPETITIONS * n_rows, 1)
    outputs, truth = model.predict_feeds(rows.feeds()), rows.truth()
    hits = 0
    for start in range(0, len(truth), n_rows):
        first, rest = slice(start, start + N_CALIBRATION), slice(start + N_CALIBRATION, start + n_rows)
        target = model.schema.target
        post = Postprocessing.fit(config, target, {name: array[first] for name, array in outputs.items()}, truth[first])
        made = post.apply({name: array[rest] for name, array in outputs.items()}, target)
        hits += covered(made, truth[rest]).sum()
    low, high = band(N_REPETITIONS, N_CALIBRATION, N_TEST)
    assert low <= hits <= high, (low, hits, high)


@pytest.mark.parametrize("kind", KINDS)
def test_files_cover_what_they_promise(kind):
    n_repetitions, n_test, hits, test = 20, 200, 0, task_of(kind, 20 * 200, 2)
    for i in range(n_repetitions):
        learner = ol.learner("mlp", **QUICK, **KINDS[kind], coverage=COVERAGE, calibration=0.3, seed=i)
        model = learner.fit(task_of(kind, 200, 10 + i))
        assert model.metadata["training"]["n_calibration_rows"] == 60
        assert model.metadata["training"]["calibration"]["coverage"] == COVERAGE
        part = test.select(np.arange(i * n_test, (i + 1) * n_test))
        hits += covered(model.predict_feeds(part.feeds()), part.truth()).sum()
    low, high = band(n_repetitions, 60, n_test)
    assert low <= hits <= high, (low, hits, high)


def test_calibration_rows_are_rows_of_their_own():
    """What is calibrated changes neither preprocessing nor network: these saw other rows."""
    task = task_of("point", 200, 5)
    with_coverage = ol.learner("mlp", **QUICK, coverage=COVERAGE).fit(task)
    training = with_coverage.metadata["training"]
    assert (training["n_rows"], training["n_validation_rows"], training["n_calibration_rows"]) == (200, 30, 30)
    plain = ol.learner("mlp", **QUICK, coverage=0.5).fit(task)
    np.testing.assert_array_equal(plain.predict(task).response, with_coverage.predict(task).response)
    assert (plain.predict(task).upper < with_coverage.predict(task).upper).all()
