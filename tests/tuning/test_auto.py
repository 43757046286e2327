"""Learner auto: what it tries, what it keeps, what it ships."""

import time

import cloudpickle
import numpy as np
import onnx
import pytest

import onnxlearn as ol
from onnxlearn.errors import InterruptedFit, OnnxlearnError, ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn.tuning.budget import Budget
from onnxlearn_models.auto.choose import choose
from onnxlearn_models.auto.folds import Call, Fitted, Fold, Hopeless, HopelessError
from onnxlearn_models.auto.portfolio import portfolio
from onnxlearn_models.auto.schedule import PROMISING, Schedule
from onnxlearn_models.training.callback import Callback
from tests.tuning import dying

SMALL = {"max_epochs": 3, "device": "cpu"}
MLP = ol.learner("mlp", n_blocks=1, d_block=8, **SMALL)
LINEAR = ol.learner("linear", lr=0.1, **SMALL)
RESNET = ol.learner("tab_resnet", n_blocks=1, d_block=8, **SMALL)


@pytest.fixture(scope="module")
def task():
    return ol.example_task("penguins")


def auto(*learners, **settings):
    given = {"budget": 3, "n_folds": 3, "n_jobs": 1, "device": "cpu", **settings}
    return ol.learner("auto", learners=learners or (MLP, LINEAR, RESNET), **given)


@pytest.fixture(scope="module")
def model(task):
    return auto().fit(task, progress=False)


def test_one_file_of_the_networks_that_are_best_together(task, model, tmp_path):
    told = model.metadata["training"]
    assert [each["title"] for each in told["tried"]] == ["mlp", "linear", "tab_resnet"]
    assert {each["state"] for each in told["tried"]} == {"whole"}
    assert sum(each["weight"] for each in told["members"]) == pytest.approx(1)
    # A network for each fold of each that counts.
    titles = {each["title"] for each in told["members"]}
    assert len(told["members"]) == 3 * len(titles)
    best = min(each["score"] for each in told["tried"])
    assert model.scores["out_of_fold"]["logloss"] <= best
    assert model.out_of_fold.score("logloss") == pytest.approx(model.scores["out_of_fold"]["logloss"])
    assert len(model.out_of_fold) == task.n_rows
    model.save(tmp_path / "auto.onnx")
    again = ol.load(tmp_path / "auto.onnx")
    np.testing.assert_array_equal(again.predict(task.frame).prob, model.predict(task.frame).prob)
    onnx.checker.check_model(str(tmp_path / "auto.onnx"), full_check=True)
    assert model.verify().ok


def test_rows_out_of_fold_are_predicted_by_files_that_have_not_seen_them(task):
    """Of one learner by hand: the networks of bagging are the same."""
    model = auto(MLP, n_folds=3, budget=1).fit(task, progress=False)
    bagged = ol.learner("bagging", base=MLP, n_folds=3, fold_parallel="never").fit(task, progress=False)
    np.testing.assert_allclose(model.out_of_fold.prob, bagged.out_of_fold.prob, atol=1e-6)
    np.testing.assert_allclose(model.predict(task).prob, bagged.predict(task).prob, atol=1e-6)


def test_a_number_of_learners_and_a_seed_say_all(task, model):
    assert auto().fit(task, progress=False).to_bytes() == model.to_bytes()
    assert auto(n_jobs=2).fit(task, progress=False).to_bytes() == model.to_bytes()
    assert auto(seed=1).fit(task, progress=False).to_bytes() != model.to_bytes()


@pytest.mark.parametrize("name", example_tasks(30))
def test_every_kind_of_target(name):
    chosen = example_tasks(90)[name]
    model = auto(MLP, LINEAR, budget=2).fit(chosen, progress=False)
    assert len(model.predict(chosen)) == chosen.n_rows
    assert None not in model.scores["out_of_fold"].values()


def test_groups_stay_together():
    table = ol.example_task("iris").frame.assign(plot=np.arange(150) // 10, species=np.arange(150) % 2)
    task = ol.Task.from_frame(table, "species", type="classification", group="plot")
    model = auto(MLP, LINEAR, budget=2).fit(task, progress=False)
    assert len(model.out_of_fold) == 150


def test_distributions_intervals_and_thresholds_stand_behind_the_mean(task):
    numbers = example_tasks(120)["number"]
    model = auto(MLP, LINEAR, budget=2, head="normal", coverage=0.8).fit(numbers, progress=False)
    found = model.predict(numbers)
    assert (found.std > 0).all()
    assert (found.lower <= found.response).all()
    model = auto(MLP, LINEAR, budget=2, temperature=True).fit(task, progress=False)
    assert "temperature" in model.metadata["training"]["calibration"]


def test_the_search_goes_on_where_the_portfolio_ends(task):
    model = auto(MLP, budget=4, space="small").fit(task, progress=False)
    tried = model.metadata["training"]["tried"]
    assert [each["title"] for each in tried] == ["mlp", "mlp #0", "mlp #1", "mlp #2"]
    assert len({each["given"]["lr"] for each in tried[1:]}) == 3
    assert len(auto(MLP, budget=4, space=None).fit(task, progress=False).metadata["training"]["tried"]) == 1


def test_one_that_fails_is_told_and_the_others_go_on(task):
    wrong = MLP.replace(lr=1e30)
    tried = auto(wrong, LINEAR, budget=2).fit(task, progress=False).metadata["training"]["tried"]
    assert [each["state"] for each in tried] == ["failed", "whole"]
    assert "lr" in tried[0]["error"]
    with pytest.raises(OnnxlearnError, match=r"none of the 2 learners could be fitted, 1 of them with: the loss is not finite"):
        auto(wrong, wrong.replace(seed=5), budget=2).fit(task, progress=False)


def test_what_cannot_be_is_refused_before_anything_is_trained(task):
    for settings, message in (
        ({"budget": "soon"}, "a time is a number above 0"),
        ({"budget": "2s"}, "too short: 3 seconds are for the file alone"),
        ({"learners": ()}, "auto needs learners to try"),
        ({"learners": ("featureless",)}, "trains no network of its own"),
        ({"learners": (MLP, MLP)}, r"tries learner\('mlp', .*\) twice"),
        ({"learners": (MLP.replace(validation="test"),)}, "give 'mlp' a share, or None"),
        ({"measure": "mae"}, "does not tell which of two learners is better here"),
    ):
        with pytest.raises(ParameterError, match=message):
            ol.learner("auto", **{"budget": 1, **settings}).fit(task, progress=False)


def test_a_time_ends_it(task):
    start = time.monotonic()
    model = ol.learner("auto", learners=(MLP, LINEAR), budget="12s", n_jobs=1, device="cpu").fit(task, progress=False)
    # Other processes may take the cores; without an end it would go on forever.
    assert time.monotonic() - start < 60
    assert len(model.metadata["training"]["tried"]) > 2
    assert model.verify().ok


class Interrupting(Callback):
    """Ctrl-C in the first epoch of a network, where it is not switched off."""

    off = False

    def epoch_end(self, ctx):
        if not Interrupting.off:
            raise KeyboardInterrupt


def test_ctrl_c_keeps_what_was_tried(task):
    interrupted = RESNET.replace(callbacks=(Interrupting(),))
    with pytest.raises(KeyboardInterrupt):
        auto(MLP, interrupted).fit(task, progress=False)
    model = auto(MLP, interrupted).fit(task, keep_on_interrupt=True, progress=False)
    assert model.metadata["training"]["stopped"] == "interrupted"
    assert {each["title"] for each in model.metadata["training"]["members"]} == {"mlp"}
    assert any("interrupted" in note for note in model.metadata["notes"])
    with pytest.raises(InterruptedFit, match="before anything was trained"):
        auto(interrupted, MLP).fit(task, keep_on_interrupt=True, progress=False)


def test_a_folder_keeps_what_was_tried(task, tmp_path, monkeypatch):
    interrupted = auto(MLP, LINEAR, RESNET.replace(callbacks=(Interrupting(),)))
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(task, folder=tmp_path / "runs", progress=False)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("fold-*.npz")}
    assert len(kept) == 2
    monkeypatch.setattr(Interrupting, "off", True)
    found = interrupted.fit(task, folder=tmp_path / "runs", progress=False)
    assert found.to_bytes() == interrupted.fit(task, progress=False).to_bytes()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    # A longer search goes on with it, too.
    longer = auto(budget=5, space="small").fit(task, folder=tmp_path / "longer", progress=False)
    more = auto(budget=7, space="small").fit(task, folder=tmp_path / "longer", progress=False)
    assert len(more.metadata["training"]["tried"]) == 7
    assert len(longer.metadata["training"]["tried"]) == 5
    with pytest.raises(ParameterError, match="holds another training"):
        auto(n_folds=2).fit(task, folder=tmp_path / "runs", progress=False)


@pytest.fixture
def dies():
    """A callback that ends its process. Processes elsewhere cannot import the tests."""
    cloudpickle.register_pickle_by_value(dying)
    yield dying.DiesInFit()
    cloudpickle.unregister_pickle_by_value(dying)


def test_a_process_that_dies_takes_nothing_along(task, dies):
    model = auto(MLP, RESNET.replace(callbacks=(dies,)), LINEAR, n_jobs=2).fit(task, progress=False)
    states = {each["title"]: each["state"] for each in model.metadata["training"]["tried"]}
    assert states["tab_resnet"] == "failed"
    assert states["mlp"] == "whole"


def test_a_resampling_judges_the_whole(task):
    result = ol.resample(task, auto(MLP, LINEAR, budget=2, n_folds=2), ol.CV(folds=2), ["logloss"], progress=False)
    assert result.scores["logloss"].notna().all()


def test_the_portfolio_suits_the_columns():
    tasks = example_tasks(30)
    names = {each.name for each in portfolio(tasks["classes"].schema).values()}
    assert {"mlp", "realmlp", "tabm", "linear"} <= names


def test_greedy_selection_takes_what_helps():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    outputs = [{"prediction": truth + rng.normal(0, 1, 200)} for _ in range(6)] + [{"prediction": truth + 50.0}]

    def cost(made):
        return float(((made["prediction"] - truth) ** 2).mean())

    found = choose(outputs, cost, 8)
    # Independent errors are averaged away, and what is far off is left out.
    assert set(found.trials) >= {0, 1, 2, 3}
    assert 6 not in found.trials
    assert found.cost < 0.3 < min(map(cost, outputs))
    assert found.weights.sum() == pytest.approx(1)
    assert len(choose(outputs, cost, 2).trials) == 2


# The order of work, by results of our own.


def schedule(n, *, budget=None, seconds=None, n_jobs=1, n_folds=5):
    learners = {f"learner {i}": MLP.replace(seed=i) for i in range(n)}
    return Schedule(
        learners, lambda titles: None, budget=budget or Budget(trials=n), seconds=seconds, n_folds=n_folds, n_jobs=n_jobs
    )


def end(work, call, cost, seconds=1.0, **told):
    fold = Fold(outputs={}, seconds=seconds, loss=cost)
    known = {} if told else dict.fromkeys(call.folds, fold)
    work.ended(call, Fitted(folds=known, **told), dict.fromkeys(known, cost))


def test_the_first_folds_come_first_and_the_hopeless_get_no_others():
    work = schedule(9)
    costs = [0.1 * (i + 1) for i in range(9)]
    calls = []
    for call in work:
        calls.append((call.trial, call.folds))
        end(work, call, costs[call.trial])
    assert calls[:9] == [(i, (0,)) for i in range(9)]
    assert [trial for trial, folds in calls[9:] if folds == (1,)] == list(range(PROMISING))
    assert {trial for trial, _ in calls[9:]} == set(range(PROMISING))
    trials, folds = work.whole()
    assert ([trial.number for trial in trials], folds) == (list(range(PROMISING)), (0, 1, 2, 3, 4))


def test_folds_that_are_quicker_at_once_are_asked_for_at_once():
    work = schedule(1)
    call = next(work)
    work.ended(call, Fitted(folds={0: Fold(outputs={}, seconds=1.0, loss=0.5, quicker_at_once=True)}), {0: 0.5})
    assert next(work).folds == (1, 2, 3, 4)


def test_where_the_time_is_short_fewer_folds_are_used():
    work = schedule(2, budget=Budget(seconds=100), seconds=102, n_jobs=1)
    end(work, next(work), 0.5, seconds=20.0)
    end(work, next(work), 0.6, seconds=10.0)
    # 60 seconds of 100 are two folds more of both, of 30 seconds each.
    for _ in range(4):
        end(work, next(work), 0.5, seconds=20.0)
    with pytest.raises(StopIteration):
        next(work)
    assert work.whole()[1] == (0, 1, 2)


def test_a_trial_whose_process_dies_is_begun_again_and_fails_in_the_end():
    work = schedule(3, n_jobs=2)
    first, second = next(work), next(work)
    # All processes end with the one that died: either may have been the reason.
    work.died(first, "exit code 9")
    work.died(second, "exit code 9")
    third = next(work)
    assert third.trial == 2
    # They wait until they can be run alone.
    with pytest.raises(StopIteration):
        next(work)
    end(work, third, 0.3)
    again = next(work)
    assert (again.trial, again.folds) == (0, (0,))
    with pytest.raises(StopIteration):
        next(work)
    work.died(again, "exit code 9")
    assert work.trials[0].error == "its process died 2 times (exit code 9)"
    innocent = next(work)
    assert innocent.trial == 1
    end(work, innocent, 0.2)
    assert not work.trials[1].error


def test_a_training_is_hopeless_after_its_time_without_a_good_loss():
    on_epoch = Hopeless(0.5, 0.05).begun()
    on_epoch(1, 9.0)
    time.sleep(0.1)
    with pytest.raises(HopelessError, match=r"ended after epoch 2: its validation loss was 0.6, and others have 0.5"):
        on_epoch(2, 0.6)
    good = Hopeless(0.5, 0.05).begun()
    good(1, 0.4)
    time.sleep(0.1)
    good(2, 0.9)
    # By the clock, so only where the budget goes by it.
    work = schedule(4)
    for _ in range(3):
        end(work, next(work), 0.5)
    assert isinstance(call := next(work), Call)
    assert call.hopeless is None
    timed = schedule(4, budget=Budget(seconds=100), seconds=100)
    for _ in range(3):
        end(timed, next(timed), 0.5)
    assert next(timed).hopeless.loss == pytest.approx(0.51)
