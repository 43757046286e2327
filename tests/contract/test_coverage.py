"""Files of trained networks cover what they promise: 200 calibrations of each kind of network, and whole fits.

And they are calibrated on rows of their own.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import betabinom

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.graph.assemble import assemble
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.session import run_chunked
from onnxlearn_models.packing import open_checked
from onnxlearn_models.shipping import Rows

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
def test_calibrated_files_cover_what_they_promise(kind):
    """One network, calibrated 200 times; each time it is the file that predicts new rows."""
    asked = {name: value for name, value in KINDS[kind].items() if name == "head"}
    part = ol.learner("linear", max_epochs=3, lr=1e-2, **asked).train(task_of(kind, 300, 0), None).part()
    config = OutputConfig(**KINDS[kind], coverage=COVERAGE)
    n_rows = N_CALIBRATION + N_TEST
    rows = task_of(kind, N_REPETITIONS * n_rows, 1)
    target, truth, feeds = rows.schema.target, rows.truth(), rows.feeds()
    outputs = run_chunked(open_checked(assemble([part], Postprocessing.plain(config))).session, feeds)
    hits = beyond = 0
    for start in range(0, len(truth), n_rows):
        first, rest = slice(start, start + N_CALIBRATION), slice(start + N_CALIBRATION, start + n_rows)
        post = Postprocessing.fit(config, target, {name: array[first] for name, array in outputs.items()}, truth[first])
        file = open_checked(assemble([part], post)).session
        made = run_chunked(file, {name: array[rest] for name, array in feeds.items()})
        inside = covered(made, truth[rest])
        hits += inside.sum()
        if post.sets is not None:
            by_probability = post.sets.by_probability(outputs["probabilities"][rest])
            beyond += (inside & ~by_probability[np.arange(N_TEST), truth[rest]]).sum()
    low, high = band(N_REPETITIONS, N_CALIBRATION, N_TEST)
    # The predicted class is in its set without being asked for.
    assert low <= hits - beyond <= high, (low, hits, beyond, high)


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


# Which rows are calibrated on


def test_calibration_rows_are_rows_of_their_own():
    """What is calibrated changes neither preprocessing nor network: these saw other rows."""
    task = task_of("point", 200, 5)
    with_coverage = ol.learner("mlp", **QUICK, coverage=COVERAGE).fit(task)
    training = with_coverage.metadata["training"]
    assert (training["n_rows"], training["n_validation_rows"], training["n_calibration_rows"]) == (200, 30, 30)
    plain = ol.learner("mlp", **QUICK, coverage=0.5).fit(task)
    np.testing.assert_array_equal(plain.predict(task).response, with_coverage.predict(task).response)
    assert (plain.predict(task).upper < with_coverage.predict(task).upper).all()


@pytest.fixture
def calibrations(monkeypatch):
    """What each calibration was fitted on: outputs, truth, weights and groups."""
    seen, fit = [], Postprocessing.fit

    def watched(config, target, outputs=None, truth=None, weights=None, groups=None):
        seen.append((outputs, truth, weights, groups))
        return fit(config, target, outputs, truth, weights, groups)

    monkeypatch.setattr(Postprocessing, "fit", watched)
    return seen


MEMBERS = {
    "mlp": {},
    "ensemble": {"members": [ol.learner("mlp", n_blocks=1, d_block=8), "linear"], "max_epochs": 2},
    "bagging": {"base": "linear", "n_folds": 2, "max_epochs": 2},
}


@pytest.mark.parametrize("role", ["weight", "group"])
@pytest.mark.parametrize("name", MEMBERS)
def test_the_calibration_rows_are_those_set_aside(name, role, calibrations):
    frame = table(200, 5).assign(w=np.tile([1.0, 2.0, 3.0, 4.0], 50), g=np.arange(200) // 4)
    other = {"weight": "g", "group": "w"}[role]
    roles = {role: {"weight": "w", "group": "g"}[role]}
    task = ol.Task.from_frame(frame, "y", ignore=["class", other], **roles)
    given = QUICK if name == "mlp" else MEMBERS[name]
    model = ol.learner(name, **given, coverage=0.5, calibration=0.3, seed=3).fit(task, progress=False)
    validation = None if name == "bagging" else 0.15
    rows = Rows.of(task, validation, OutputConfig(coverage=0.5, calibration=0.3), 3)
    ((outputs, truth, weights, groups),) = calibrations
    np.testing.assert_array_equal(truth, rows.calibration.truth())
    np.testing.assert_array_equal(outputs["prediction"][:, 0], model.predict(rows.calibration).response)
    for found, expected in ((weights, rows.calibration.weights()), (groups, rows.calibration.groups())):
        assert (found is None) == (expected is None)
        assert found is None or found.tolist() == expected.tolist()
    # Rows are told apart by their target.
    parts = [part.truth()[:, 0] for part in (rows.train, rows.valid, rows.calibration) if part is not None]
    assert sorted(np.concatenate(parts)) == sorted(frame["y"])


def test_a_network_that_knows_its_training_rows_by_heart_covers_new_ones():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(1200, 6)), columns=list("abcdef")).assign(y=rng.normal(size=1200))
    seen, new = (ol.Task.from_frame(part, "y") for part in (frame[:200], frame[200:]))
    by_heart = {"max_epochs": 150, "d_block": 128, "lr": 1e-2, "batch_size": 32, "dropout": 0.0, "weight_decay": 0.0}
    model = ol.learner("mlp", **by_heart, validation=None, coverage=COVERAGE, calibration=0.3, seed=0).fit(seen, progress=False)
    rows = Rows.of(seen, None, OutputConfig(coverage=COVERAGE, calibration=0.3), 0)
    away = np.abs(model.predict(new).response - new.truth()[:, 0])
    known = np.abs(model.predict(rows.train).response - rows.train.truth()[:, 0])
    assert (away <= np.quantile(known, COVERAGE)).mean() < 0.3
    low, high = band(1, rows.calibration.n_rows, new.n_rows)
    assert low <= covered(model.predict_feeds(new.feeds()), new.truth()).sum() <= high


def test_few_groups_are_refused_before_training():
    frame = table(300, 6).assign(g=np.arange(300) // 15)
    task = ol.Task.from_frame(frame, "y", ignore="class", group="g")
    with pytest.raises(
        ParameterError, match=r"^coverage=0\.9 needs at least 9 calibration groups, there are 3 \(of 45 rows\): "
    ):
        ol.learner("mlp", max_epochs=10**6, coverage=0.9).fit(task)
