"""Measures: what holds for all of them, finding them, one's own, folds put together."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from outcomes import BINARY, LEVELS, NUMBER, NUMBERS, RUN, SEVERAL, draw_classes, draw_numbers, names_of, repeated

import onnxlearn as ol
from onnxlearn import measures
from onnxlearn.errors import DataError, ParameterError, UnknownNameError
from onnxlearn.measures import Outcome, Run, aggregate
from onnxlearn.prediction import Prediction

PARAMETERS = ("fbeta_2", "top_2", "ece_4", "rqr_0.9", "tweedie_1.5", "winkler_0.8", "pinball_0.9")
EVERY = [*measures.MEASURES, *PARAMETERS]


def outcomes_for(name, seed=0, **settings):
    """Outcomes that the measure is defined for."""
    measure = measures.get(name)
    if measure.task == "classification":
        targets = (BINARY,) if measure.two_classes else (BINARY, SEVERAL)
        return [draw_classes(target, seed, **settings) for target in targets]
    return [draw_numbers(seed, positive=positive, **settings) for positive in (True, False)]


@pytest.mark.parametrize("name", EVERY)
def test_a_weight_counts_as_so_many_rows(name):
    times = np.random.default_rng(3).integers(1, 4, 90)
    for plain in outcomes_for(name, n=90, weighted=False):
        weighted = replace(plain, weights=times.astype(float))
        value = measures.get(name)(weighted)
        assert value == pytest.approx(measures.get(name)(repeated(plain, times)), rel=1e-9, abs=1e-12, nan_ok=True)
        if name not in ("maxae", "top_2") and np.isfinite(value) and measures.get(name).needs != "run":
            assert value != measures.get(name)(plain)


@pytest.mark.parametrize("name", EVERY)
def test_a_mean_over_rows_says_what_each_row_gives(name):
    measure = measures.get(name)
    for outcome in outcomes_for(name):
        if measure.per_row is None:
            with pytest.raises(ParameterError, match=rf"measure '{name}' is no mean over rows"):
                measure.rows(outcome)
        else:
            rows = measure.rows(outcome)
            assert (rows.shape, rows.dtype) == ((len(outcome.truth),), np.float64)
            value = np.average(rows, weights=outcome.weights)
            assert measure(outcome) == pytest.approx(value, rel=1e-12, nan_ok=True)


def test_means_over_rows_are_those_that_one_expects():
    wholes = {name for name in measures.MEASURES if measures.get(name).per_row is None}
    assert {"auc", "f1", "rmse", "r2", "srho", "ece", "maxae", "medae", "sse", "time_train", "qce"} <= wholes
    assert not {"acc", "ce", "logloss", "brier", "mse", "mae", "mape", "bias", "coverage", "width", "nll", "crps"} & wholes


@pytest.mark.parametrize("name", EVERY)
def test_measures_travel_to_other_processes(name):
    measure = pickle.loads(pickle.dumps(measures.get(name)))
    for outcome in outcomes_for(name):
        assert measure(outcome) == pytest.approx(measures.get(name)(outcome), rel=0, abs=0, nan_ok=True)


def test_every_measure_says_what_it_is():
    for measure in map(measures.get, EVERY):
        assert measure.low < measure.high
        assert measure.summary
        assert "\n" not in measure.summary + measure.undefined
        assert measure.better in ("smaller", "larger", "nearest 0")
        assert measure.average == "macro"


def test_synonyms_give_the_same():
    synonyms = {"ppv": "precision", "sensitivity": "recall", "tpr": "recall", "tnr": "specificity", "fbeta": "f1", "rsq": "r2"}
    for name, other in {**synonyms, "mauc_aunu": "auc", "bbrier": "brier"}.items():
        assert measures.get(name).summary.startswith(f"same as {other}")
        for outcome in outcomes_for(name):
            assert measures.get(name)(outcome) == measures.get(other)(outcome)


# Needs


@pytest.mark.parametrize(
    ("name", "lost", "message"),
    [
        ("auc", {"prob": None}, "'auc' needs probabilities, and the prediction has none: score the prediction of a"),
        ("acc", {"n_classes": 0}, "'acc' needs classes, and the prediction has none: score the prediction of a classification"),
        ("set_size", {"sets": None}, "'set_size' needs sets of classes, and the prediction has none: train with coverage=0.9"),
        ("coverage", {"lower": None}, "'coverage' needs intervals, and the prediction has none: train with coverage=0.9"),
        ("width", {"upper": None}, "'width' needs intervals, and the prediction has none: train with coverage=0.9"),
        ("crps", {"quantiles": None}, "'crps' needs quantiles, and the prediction has none: train with head='quantile'"),
        ("nll", {"std": None}, "'nll' needs standard deviations, and the prediction has none: train with head='normal'"),
        ("file_size", {"run": None}, "'file_size' needs times and file size, .*: they are measured by resample and benchmark"),
        ("time_both", {"run": Run(seconds_train=1.0)}, "this run has no seconds_predict: it was not measured; choose another"),
        ("rmse", {"n_classes": 2}, "'rmse' needs numbers, and the prediction has none: score the prediction of a regression"),
    ],
)
def test_what_is_missing_is_named(name, lost, message):
    outcome = replace(outcomes_for(name)[0], **lost)
    with pytest.raises(DataError, match=message):
        measures.get(name)(outcome)


def test_a_level_that_is_not_predicted():
    with pytest.raises(
        DataError, match=r"no quantile of level 0\.8, it has those of '0\.05', '0\.25', '0\.5', '0\.9': score one"
    ):
        measures.get("pinball_0.8")(draw_numbers(0))


def test_measures_of_two_classes_are_refused_for_more():
    with pytest.raises(ParameterError, match="measure 'tp' is for two classes, the target 'y' has 4: choose another one, or"):
        measures.resolve(["tp"], SEVERAL)
    with pytest.raises(DataError, match="measure 'dor' is for two classes, there are 4: choose another one"):
        measures.get("dor")(draw_classes(SEVERAL, 0))
    assert [measure.name for measure in measures.resolve(["tp"], BINARY)] == ["tp"]


def test_no_rows_and_no_weight():
    with pytest.raises(DataError, match="there are no rows to score"):
        Outcome.of(BINARY, np.zeros(0, int), np.zeros(0, int), None, None)
    with pytest.raises(DataError, match="weights of the rows to score sum to 0: at least one has to be positive"):
        Outcome.of(BINARY, np.zeros(2, int), np.zeros(2, int), None, np.zeros(2))


@pytest.mark.parametrize("target", [NUMBER, NUMBERS], ids=["one", "two"])
def test_predictions_are_scored_by_all_that_they_hold(target):
    outcome = draw_numbers(4, target=target, weighted=False)
    outputs = {name: getattr(outcome, name) for name in ("lower", "upper", "quantiles", "std")}
    prediction = Prediction.from_outputs(
        target, {"prediction": outcome.response, **outputs}, truth=outcome.truth, axes={"quantiles": list(LEVELS)}
    )
    names = [*names_of("regression"), "pinball_0.9"]
    assert prediction.score(*names) == pytest.approx({name: measures.get(name)(outcome) for name in names}, nan_ok=True)


def test_sets_of_a_prediction_are_scored():
    outcome = draw_classes(SEVERAL, 4, weighted=False)
    labels = np.array(SEVERAL.classes)[outcome.response]
    outputs = {"label": labels, "probabilities": outcome.prob, "set": outcome.sets}
    prediction = Prediction.from_outputs(SEVERAL, outputs, truth=outcome.truth)
    assert prediction.score("set_size") == outcome.sets.sum() / len(outcome.sets)
    with pytest.raises(DataError, match="needs times and file size"):
        prediction.score("time_train")


# Finding them


def test_finding_measures():
    with pytest.raises(UnknownNameError, match=r"there is no measure 'rsme'; .* Did you mean 'rmse'\?"):
        measures.get("rsme")
    with pytest.raises(ParameterError, match=r"measure 'auc' is for classification, the model does regression: 'rmse', "):
        measures.resolve(["auc"], NUMBERS)
    with pytest.raises(ParameterError, match="a measure is a name or a Measure, not 3"):
        measures.resolve([3], NUMBERS)
    twice = [measures.costs([[0, 1], [2, 0]]), measures.costs([[0, 1], [1, 0]])]
    with pytest.raises(ParameterError, match="two measures are called 'costs': leave one out, or give it a name of its own"):
        measures.resolve(twice, BINARY)
    named = [twice[0], measures.costs([[0, 1], [1, 0]], name="wrong")]
    assert list(measures.score(draw_classes(BINARY, 0), measures.resolve(named, BINARY))) == ["costs", "wrong"]
    assert len(measures.resolve(["acc", "acc"], BINARY)) == 2
    assert [measure.name for measure in measures.resolve([], BINARY)] == ["acc", "auc", "logloss"]
    assert [measure.name for measure in measures.resolve([], NUMBERS)] == ["mae", "r2", "rmse"]
    assert measures.resolve([measures.get("f1"), "acc"], BINARY) == (measures.get("f1"), measures.get("acc"))
    assert [measure.name for measure in measures.resolve(["time_both"], NUMBERS)] == ["time_both"]


@pytest.mark.parametrize("name", PARAMETERS)
def test_names_with_a_parameter(name):
    family, _, number = name.rpartition("_")
    made = {"top": measures.top_k, "ece": measures.ece}.get(family) or getattr(measures, family)
    measure = made(float(number) if "." in number else int(number))
    assert measures.get(name).name == measure.name == name
    for outcome in outcomes_for(name):
        assert measures.get(name)(outcome) == pytest.approx(measure(outcome), nan_ok=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fbeta_two", "measure 'fbeta_two' has to end with a number, as in 'fbeta_2' or 'pinball_0.9'"),
        ("fbeta_0", r"beta has to be a number above 0, not 0\.0: for example fbeta\(2\)"),
        ("fbeta_inf", "beta has to be a number above 0, not inf"),
        ("top_2.5", r"k has to be an integer from 1 on, not 2\.5: for example top_k\(3\)"),
        ("ece_0", r"bins has to be an integer from 1 on, not 0: for example ece\(10\)"),
        ("pinball_1", r"level has to be a number between 0 and 1, not 1\.0: for example pinball\(0\.9\)"),
        ("rqr_0", r"level has to be a number between 0 and 1, not 0\.0"),
        ("winkler_nan", "coverage has to be a number between 0 and 1, not nan"),
        ("tweedie_0.5", r"power has to be a number that is not between 0 and 1, not 0\.5"),
        ("costs", "measure 'costs' is made from a matrix, true classes down: ol.measures.costs"),
    ],
)
def test_parameters_that_do_not_fit(name, message):
    with pytest.raises(ParameterError, match=message):
        measures.get(name)


@pytest.mark.parametrize("value", [None, "2", True, [2]])
def test_parameters_that_are_no_numbers(value):
    for make in (
        measures.fbeta,
        measures.top_k,
        measures.ece,
        measures.pinball,
        measures.rqr,
        measures.tweedie,
        measures.winkler,
    ):
        with pytest.raises(ParameterError, match=r"has to be an? .*: for example "):
            make(value)


# One's own


@pytest.fixture
def names_as_before():
    before = dict(measures.MEASURES)
    yield
    measures.MEASURES.clear()
    measures.MEASURES.update(before)


def within(outcome):
    """Share of rows that are at most 1 off.

    More of it.
    """
    return outcome.mean(np.abs(outcome.response - outcome.truth) <= 1)


FACTS = {"task": "regression", "needs": "numbers", "minimize": False, "low": 0, "high": 1}


@pytest.mark.usefixtures("names_as_before")
def test_own_measures_are_known_by_name():
    own = ol.measure("within", **FACTS)(within)
    assert measures.get("within") is own
    assert measures.all_measures()[-1] is own
    assert (own.summary, own.range, own.better) == ("Share of rows that are at most 1 off.", "[0, 1]", "larger")
    outcome = draw_numbers(1)
    hits = np.abs(outcome.response - outcome.truth) <= 1
    assert measures.score(outcome, measures.resolve(["within"], NUMBERS)) == {
        "within": pytest.approx(np.average(hits, axis=0, weights=outcome.weights).mean())
    }
    with pytest.raises(DataError, match="measure 'within' needs numbers, and the prediction has none"):
        own(draw_classes(BINARY, 0))


@pytest.mark.usefixtures("names_as_before")
def test_names_that_are_taken():
    for name in ("rmse", "fbeta_2", "costs", "top_9"):
        with pytest.raises(
            ParameterError, match=rf"(there is a measure '{name}' already|the name '{name}' is taken by measures)"
        ):
            ol.measure(name, **FACTS)(within)
    ol.measure("within", **FACTS)(within)
    with pytest.raises(ParameterError, match=r"there is a measure 'within' already, 'Share of rows .*: choose another name"):
        ol.measure("within", **FACTS)(lambda outcome: 1.0)
    # A notebook's cell that runs again.
    again = ol.measure("within", **{**FACTS, "high": 2})(within)
    assert measures.get("within") is again


@pytest.mark.usefixtures("names_as_before")
@pytest.mark.parametrize(
    ("name", "facts", "message"),
    [
        ("a b", {}, "a measure's name is a word of letters, digits and _, not 'a b'"),
        ("m:n", {}, "a measure's name is a word"),
        ("", {}, "a measure's name is a word"),
        ("x", {"task": "ranking"}, "measure 'x': task is one of 'classification', 'regression', 'any', not 'ranking'"),
        ("x", {"needs": "probs"}, "measure 'x': needs is one of 'labels', 'prob', .*, not 'probs'"),
        ("x", {"average": "mean"}, "measure 'x': average is one of 'macro', 'micro', not 'mean'"),
        ("x", {"low": 1, "high": 1}, "measure 'x': low=1 has to be less than high=1"),
    ],
)
def test_facts_of_own_measures_that_do_not_fit(name, facts, message):
    with pytest.raises(ParameterError, match=message):
        ol.measure(name, **{**FACTS, **facts})(within)
    assert name not in measures.MEASURES


@pytest.mark.usefixtures("names_as_before")
def test_an_own_measure_gives_one_number():
    own = ol.measure("pair", **FACTS)(lambda outcome: outcome.truth[:2, 0])
    with pytest.raises(ParameterError, match=r"measure 'pair' has to give one number, not array\(.*: return a float"):
        own(draw_numbers(0))


OWN = """
import numpy as np
import onnxlearn as ol

@ol.measure("largest", task="regression", needs="numbers", minimize=True, low=0)
def largest(outcome):
    "largest truth"
    return outcome.truth.max()
"""


def test_own_measures_of_a_module_by_name_and_in_workers(tmp_path):
    (tmp_path / "mine_of_test.py").write_text(OWN)
    code = (
        "import numpy as np, joblib, onnxlearn as ol\n"
        "from onnxlearn.measures import Outcome\n"
        "largest = ol.measures.get('mine_of_test:largest')\n"
        "assert ol.measures.get('largest') is largest\n"
        "outcome = Outcome(truth=np.ones((2, 1)), response=np.ones((2, 1)), prob=None, weights=np.ones(2))\n"
        "print(*joblib.Parallel(n_jobs=2)(joblib.delayed(largest)(outcome) for _ in range(3)))\n"
        "try:\n    ol.measures.get('mine_of_test:np')\n"
        "except ol.errors.ParameterError as error:\n    print(str(error)[:35])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True, check=False)
    assert done.stdout == "1.0 1.0 1.0\nmine_of_test:np has to be a Measure\n", done.stderr


# Folds


@pytest.mark.parametrize("name", [name for name in EVERY if measures.get(name).needs != "run"])
def test_macro_is_the_mean_of_folds_and_micro_all_rows_together(name):
    measure = measures.get(name)
    for which in range(len(outcomes_for(name))):
        folds = [outcomes_for(name, seed, n=30 + seed)[which] for seed in range(3)]
        values = [measure(fold) for fold in folds]
        assert aggregate(measure, folds) == pytest.approx(np.mean(values), nan_ok=True)
        arrays = {
            field: np.concatenate([getattr(fold, field) for fold in folds])
            for field, value in vars(folds[0]).items()
            if isinstance(value, np.ndarray)
        }
        together = measure(replace(folds[0], **arrays))
        assert aggregate(measure, folds, "micro") == pytest.approx(together, rel=0, abs=0, nan_ok=True)
        assert aggregate(replace(measure, average="micro"), folds) == pytest.approx(together, rel=0, abs=0, nan_ok=True)


def test_a_fold_that_is_not_defined_is_not_left_out():
    one_class = Outcome.of(BINARY, np.zeros(2, int), np.zeros(2, int), np.full((2, 2), 0.5), None)
    folds = [draw_classes(BINARY, 0), one_class]
    assert np.isnan(aggregate(measures.get("auc"), folds))
    pooled = [replace(fold, sets=None) for fold in folds]
    assert 0 < aggregate(measures.get("auc"), pooled, "micro") < 1


def test_runs_are_put_together_by_their_mean():
    folds = [replace(draw_numbers(seed), run=Run(seconds_train=seed, seconds_predict=2.0, n_bytes=10)) for seed in (1, 2)]
    values = {name: aggregate(measures.get(name), folds) for name in names_of("any")}
    assert values == {"time_train": 1.5, "time_predict": 2.0, "time_both": 3.5, "file_size": 10.0}
    with pytest.raises(ParameterError, match=r"measure 'file_size' is of a run, not of rows .*: use average='macro'"):
        aggregate(measures.get("file_size"), folds, "micro")
    assert Outcome.pooled(folds).run is None
    assert folds[0].run != RUN


def test_folds_that_cannot_be_put_together():
    rmse, folds = measures.get("rmse"), [draw_numbers(0), draw_numbers(1)]
    with pytest.raises(ParameterError, match="average='macro' or 'micro', not 'weighted'"):
        aggregate(rmse, folds, "weighted")
    for average in ("macro", "micro"):
        with pytest.raises(DataError, match="there are no outcomes to put together"):
            aggregate(rmse, [], average)
    with pytest.raises(DataError, match="rows can be pooled where all have the same outputs; std is in 1 of 2"):
        aggregate(rmse, [folds[0], replace(folds[1], std=None)], "micro")
    with pytest.raises(DataError, match=r"where they have the same levels, not \[.*\]: use average='macro'"):
        aggregate(rmse, [folds[0], replace(folds[1], levels=(0.1, 0.2, 0.3, 0.4))], "micro")
    with pytest.raises(DataError, match=r"where they have the same positive, not \[1, None\]"):
        Outcome.pooled([draw_classes(BINARY, 0), replace(draw_classes(BINARY, 1), positive=None)])


@pytest.mark.parametrize("name", measures.MEASURES)
def test_weights_count_where_a_measure_says_so(name):
    measure = measures.MEASURES[name]
    target = BINARY if measure.two_classes else SEVERAL
    weighted = draw_classes(target, 3) if measure.task == "classification" else draw_numbers(3, positive=True)
    plain = replace(weighted, weights=np.ones(len(weighted.weights)))
    assert (measure(weighted) != measure(plain)) == measure.weighted
