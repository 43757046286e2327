"""Plots of a search: every trial where it belongs, scales and names of what was searched, and what cannot be told."""

import io

import matplotlib.figure
import numpy as np
import pytest

import onnxlearn as ol
from onnxlearn.errors import DataError, DataTypeError, ParameterError, UnknownNameError
from onnxlearn.plots.trials import Parameter
from onnxlearn.tuning.importance import parameter_shares
from onnxlearn.tuning.ranges import Choice
from onnxlearn.tuning.trial import Trial
from tests.tuning.searches import by_lr, search, trial

ALL = [ol.plots.optimization_history, ol.plots.parameter_importance, ol.plots.parallel_coordinates, ol.plots.slices]


def points(ax, marker):
    """What is marked so, as pairs."""
    lines = [line for line in ax.get_lines() if line.get_marker() == marker]
    return [(float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)]


def texts(labels):
    return [label.get_text() for label in labels]


def test_the_history_has_every_trial_and_the_best_so_far():
    found = by_lr()
    ax = ol.plots.optimization_history(found)
    done = [each for each in found.all if each.state == "done"]
    assert points(ax, "o") == [(each.number, each.scores["logloss"]) for each in done]
    assert points(ax, "D") == [(0, 0.9)]
    assert points(ax, "x") == [(20, 0)]
    assert points(ax, "v") == [(21, 0)]
    x, y = ax.get_lines()[0].get_data()
    assert x.tolist() == [*range(20), 21]
    assert y[:10].tolist() == pytest.approx([0.9, 0.9, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
    assert set(y[10:]) == {0.1}
    names = ["best so far", "trial", "learner as given", "stopped early (1)", "failed (1)"]
    assert texts(ax.get_legend().get_texts()) == names
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == (
        "number of the trial", "logloss (smaller is better)", "linear",
    )  # fmt: skip


def test_of_a_measure_that_grows_the_best_is_the_largest():
    found = search([trial(i, {"acc": value}) for i, value in enumerate([0.5, 0.3, 0.6])], measures=["acc"])
    ax = ol.plots.optimization_history(found)
    assert ax.get_lines()[0].get_ydata().tolist() == [0.5, 0.5, 0.6, 0.6]
    assert ax.get_ylabel() == "acc (larger is better)"


def test_scores_of_several_orders_are_drawn_by_these():
    found = search([trial(0, 0.2, lr=0.1), trial(1, 4000.0, lr=1.0)])
    assert ol.plots.optimization_history(found).get_yscale() == "log"
    assert ol.plots.slices(found, "lr").get_yscale() == "log"


def test_a_score_that_is_infinite_has_no_place():
    found = search([trial(0, 0.2, lr=0.1), trial(1, float("inf"), lr=1.0)])
    assert points(ol.plots.slices(found, "lr"), "o") == [(0.1, 0.2)]
    assert points(ol.plots.optimization_history(found), "o") == [(0, 0.2)]


def test_the_parameter_that_tells_trials_apart_counts_most_and_chance_is_told():
    told = parameter_shares(by_lr(60))
    assert told.shares[0].name == "lr"
    assert told.shares[0].share > told.shares[0].by_chance
    assert sum(each.share for each in told.shares) == pytest.approx(1)
    assert {each.name: each.n_trials for each in told.shares}["opt_momentum"] == 30
    assert (told.n_best, told.n_trials, told.rare) == (6, 59, {})
    assert parameter_shares(by_lr(60)) == told
    # Where no parameter counts, hardly a share is longer than chance makes it.
    rng = np.random.default_rng(0)
    random = [trial(i, rng.random(), lr=10 ** -rng.uniform(0, 4), dropout=rng.uniform(0, 0.5)) for i in range(60)]
    assert sum(each.share > each.by_chance for each in parameter_shares(search(random)).shares) == 0


def test_importance_is_that_of_optuna():
    import optuna

    found = by_lr(60)
    drawn = [each for each in found.all if each.state == "done" and each.params]
    study = optuna.create_study()
    lr = optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)
    dropout = optuna.distributions.FloatDistribution(0.0, 0.5)
    for each in drawn:
        params = {name: each.params[name] for name in ("lr", "dropout")}
        point = {"params": params, "distributions": {"lr": lr, "dropout": dropout}, "value": each.scores["logloss"]}
        study.add_trial(optuna.trial.create_trial(**point))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=6 / 59)
    expected = evaluator.evaluate(study)
    shares = {each.name: each.share for each in parameter_shares(found).shares}
    assert shares["lr"] / shares["dropout"] == pytest.approx(expected["lr"] / expected["dropout"])


def test_bars_say_how_many_trials_had_a_parameter_and_which_were_too_few():
    ax = ol.plots.parameter_importance(by_lr(24))
    names = texts(ax.get_yticklabels())
    assert names[-1] == "lr"
    assert "opt_momentum\n(in 12 of 23 trials)" in names
    told = parameter_shares(by_lr(24))
    assert [bar.get_width() for bar in ax.patches] == [each.share for each in told.shares[::-1]]
    assert "the best 5 of 23 trials by logloss" in ax.get_xlabel().replace("\n", " ")
    few = ol.plots.parameter_importance(by_lr(16))
    assert "opt_momentum" not in " ".join(texts(few.get_yticklabels()))
    assert "in fewer than ten trials: opt_momentum" in few.get_xlabel().replace("\n", " ")


def test_what_cannot_be_told_is_said():
    with pytest.raises(DataError, match="takes 10 finished trials of the space, and there are 9"):
        ol.plots.parameter_importance(by_lr(10))
    same = search([trial(i, 0.5, lr=0.1 * (i + 1)) for i in range(10)])
    with pytest.raises(DataError, match="all 10 trials have the same logloss"):
        ol.plots.parameter_importance(same)


def test_a_slice_is_the_score_by_the_value_on_the_scale_of_the_search():
    found = by_lr()
    ax = ol.plots.slices(found, "lr")
    drawn = [each for each in found.all if each.state == "done" and each.params]
    assert points(ax, "o") == [(each.params["lr"], each.scores["logloss"]) for each in drawn]
    assert points(ax, "D") == [(found.best.params["lr"], 0.1)]
    assert (ax.get_xscale(), ax.get_xlabel()) == ("log", "lr")
    assert texts(ax.get_xticklabels()) == ["0.0001", "0.001", "0.01", "0.1", "1"]
    low, high = ax.get_xlim()
    assert low < 1e-4 < 1 < high
    given = [line for line in ax.get_lines() if line.get_marker() == "None"]
    assert [set(line.get_ydata()) for line in given] == [{0.9}]
    assert texts(ol.plots.slices(found, "n_blocks").get_xticklabels()) == ["1", "2", "3", "4"]
    assert ol.plots.slices(found, "opt_momentum").get_xlabel() == "opt_momentum (in 10 of 19 trials)"


def test_values_of_a_choice_have_their_names_and_medians():
    found = by_lr()
    ax = ol.plots.slices(found, "validation")
    assert texts(ax.get_xticklabels()) == ["None", "0.25"]
    (first, second) = (lines.get_segments()[0] for lines in ax.collections)
    scores = {None: [], 0.25: []}
    for each in found.all[1:20]:
        scores[each.params["validation"]].append(each.scores["logloss"])
    assert (first[0][1], second[0][1]) == (np.median(scores[None]), np.median(scores[0.25]))
    assert {round(x) for x, _ in points(ax, "o")} == {0, 1}
    # A text that reads as another value of the choice is told from it.
    assert Parameter("x", "", "x", Choice(None, "None")).texts == ["null", "None"]


def test_without_a_parameter_all_stand_on_one_figure():
    first = ol.plots.slices(by_lr())
    names = [ax.get_xlabel().partition(" (")[0] for ax in first.figure.axes]
    assert names == ["lr", "n_blocks", "dropout", "optimizer", "opt_momentum", "validation"]
    assert len({ax.get_ylim() for ax in first.figure.axes}) == 1
    with pytest.raises(ParameterError, match="room for one parameter"):
        ol.plots.slices(by_lr(), ax=matplotlib.figure.Figure().subplots())


def lines_through(ax):
    """The lines of trials, by their heights."""
    return [line.get_ydata() for line in ax.get_lines() if len(line.get_xdata()) > 2]


def test_parallel_coordinates_go_through_every_value():
    found = by_lr()
    ax = ol.plots.parallel_coordinates(found)
    names = texts(ax.get_xticklabels())
    assert names == ["lr", "n_blocks", "dropout", "optimizer", "opt_momentum", "validation", "logloss"]
    lines = lines_through(ax)
    assert len(lines) == 19
    best = next(each for each in found.all if each.number == 10)
    expected = [0.5, (best.params["n_blocks"] - 1) / 3, best.params["dropout"] * 2, 0.0, ax.get_ylim()[0] + 0.04, 0.0, 1.0]
    assert np.allclose(lines[-1], expected)
    # The best trial lies above all others, and the worst below.
    orders = [line.get_zorder() for line in ax.get_lines() if len(line.get_xdata()) > 2]
    assert orders == sorted(orders)
    assert [line[-1] for line in lines] == sorted(line[-1] for line in lines)
    assert "below an axis pass trials without the parameter" in ax.get_xlabel()
    marks = {text.get_text() for text in ax.texts}
    assert {"0.0001", "1", "adamw", "sgd", "None", "0.25", "0.1"} <= marks


def test_of_many_parameters_those_are_drawn_that_most_trials_had():
    space = ol.space("mlp", "large")
    names = list(space)[:14]
    rare = names[3]
    values = {name: each.values[0] if isinstance(each := space[name], Choice) else each.low for name in names}
    trials = [trial(i, i / 10, **{name: values[name] for name in names if i or name != rare}) for i in range(3)]
    found = search(trials, space)
    ax = ol.plots.parallel_coordinates(found)
    assert len(ax.get_xticks()) == 13
    assert rare not in texts(ax.get_xticklabels())
    assert f"the 12 of {len(names)} parameters that most trials had" in ax.get_xlabel()


@pytest.fixture(scope="module")
def several():
    """Two learners by two measures, really searched, a choice of which is none."""
    learners = {
        "net": ol.learner("mlp", max_epochs=2, n_blocks=1, d_block=4, seed=0),
        "line": ol.learner("linear", max_epochs=2),
    }
    space = {"net": {"lr": ol.Range(1e-3, 0.1, log=True), "validation": [None, 0.2]}, "line": {"lr": ol.Range(1e-3, 0.1)}}
    measures = ["logloss", "acc"]
    return ol.tune(ol.example_task("iris"), learners, space, ol.CV(folds=2), measures, budget=12, progress=False)


def test_several_learners_have_their_own_parameters(several):
    drawn = [each for each in several.all if each.params]
    ax = ol.plots.slices(several, "learner")
    assert texts(ax.get_xticklabels()) == ["net", "line"]
    counts = [sum(round(x) == i for x, _ in points(ax, "o")) for i in range(2)]
    assert counts == [sum(each.learner == name for each in drawn) for name in ("net", "line")]
    own = [each for each in drawn if each.learner == "net"]
    assert sorted(x for x, _ in points(ol.plots.slices(several, "net.lr"), "o")) == sorted(each.params["lr"] for each in own)
    whole = ol.plots.parallel_coordinates(several)
    assert texts(whole.get_xticklabels()) == ["learner", "net.lr", "net.validation", "line.lr", "logloss"]
    one = ol.plots.parallel_coordinates(several, learner="net")
    assert texts(one.get_xticklabels()) == ["lr", "validation", "logloss"]
    assert len(lines_through(one)) == len(own)
    assert {each.name for each in parameter_shares(several).shares} >= {"learner"}
    with pytest.raises(UnknownNameError, match="there is no learner of the search 'mlp'"):
        ol.plots.parallel_coordinates(several, learner="mlp")


def test_the_front_is_that_of_the_search(several):
    ax = ol.plots.pareto_front(several)
    front = [(each.scores["logloss"], each.scores["acc"]) for each in several.front]
    assert set(zip(*ax.get_lines()[-2].get_data(), strict=True)) == set(front)
    assert len(points(ax, "o")) == len(several.all)
    assert len(points(ax, "D")) == 2
    swapped = ol.plots.pareto_front(several, ["acc", "logloss"])
    assert swapped.get_xlabel() == "acc (larger is better)"
    with pytest.raises(ParameterError, match="by two measures, not by"):
        ol.plots.pareto_front(several, ["acc"])
    with pytest.raises(ParameterError, match="this search was by logloss alone"):
        ol.plots.pareto_front(by_lr())


@pytest.mark.parametrize("plot", ALL)
def test_where_all_failed_one_error_says_so(plot):
    failed = Trial(number=0, state="failed", params={"lr": 0.1}, error="OSError: disk full")
    with pytest.raises(DataError, match="no trial of 1 was finished; the first one: OSError: disk full"):
        plot(search([failed]))


@pytest.mark.parametrize("plot", ALL)
def test_what_is_no_search_is_refused(plot):
    with pytest.raises(DataTypeError, match=r"draws what ol.tune gave, not list"):
        plot([])
    with pytest.raises(UnknownNameError, match="there is no measure of the search 'acc'; there are 'logloss'"):
        plot(by_lr(), measure="acc")


def test_the_learner_as_it_was_given_alone():
    found = search([trial(0, 0.5)])
    ax = ol.plots.optimization_history(found)
    assert points(ax, "D") == [(0, 0.5)]
    ax.figure.savefig(io.BytesIO(), format="svg")
    for plot in (ol.plots.parallel_coordinates, ol.plots.slices):
        with pytest.raises(DataError, match="no trial was finished beside the learner as it was given"):
            plot(found)
    with pytest.raises(DataError, match="no finished trial drew 'lr'"):
        ol.plots.slices(found, "lr")
    with pytest.raises(UnknownNameError, match="Did you mean 'lr'"):
        ol.plots.slices(found, "lrr")


@pytest.mark.parametrize("plot", ALL)
def test_an_axes_that_is_given_is_drawn_on(plot):
    figure = matplotlib.figure.Figure()
    ax = figure.subplots()
    options = {"param": "lr"} if plot is ol.plots.slices else {}
    assert plot(by_lr(), ax=ax, **options) is ax
    assert figure.get_size_inches().tolist() == matplotlib.figure.Figure().get_size_inches().tolist()
