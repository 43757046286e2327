"""The table of scores that statistics start from: what it takes, keeps and refuses."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from score_tables import long, wide

import onnxlearn as ol
from onnxlearn.errors import ColumnNotFoundError, DataError, DataTypeError, ParameterError, UnknownNameError
from onnxlearn.statistics import Scores, bayes_t_test, friedman, means, nemenyi, ranks, t_test, wilcoxon
from onnxlearn.statistics.scores import settled


def test_the_order_of_the_rows_does_not_matter_and_iterations_pair_the_scores():
    frame = long({"a": [0.9, 0.7, 0.8, 0.6], "b": [0.8, 0.7, 0.6, 0.5]})
    shuffled = frame.sample(frac=1, random_state=3)
    expected = t_test(Scores.from_frame(frame, "acc"), "a", "b")
    assert t_test(Scores.from_frame(shuffled, "acc"), "a", "b") == expected
    assert means(Scores.from_frame(shuffled, "acc").select(learners=["a", "b"])) == means(Scores.from_frame(frame, "acc"))


def test_names_keep_the_order_in_which_they_come_and_select_gives_another():
    scores = wide(np.arange(6).reshape(2, 3) / 10, ["z", "a", "m"])
    assert (scores.tasks, scores.learners) == (("t0", "t1"), ("z", "a", "m"))
    assert scores.select(learners=["m", "z"], tasks=["t1"]).table().tolist() == [[0.5, 0.3]]
    assert repr(scores) == "<Scores of auc (more is better): 2 tasks x 3 learners, 6 scores>"


def test_scores_are_means_over_the_iterations():
    scores = Scores.from_frame(long({"a": [0.9, 0.7], "b": [0.8, 0.4]}), "acc")
    assert scores.table().tolist() == [[0.8, 0.6]]


def test_categorical_names_and_nullable_numbers_are_read():
    frame = long({"a": [0.9, 0.7], "b": [0.8, 0.4]})
    typed = frame.astype({"task": "category", "learner": "category", "acc": "Float64", "n_train": "Int64"})
    assert t_test(Scores.from_frame(typed, "acc"), "a", "b") == t_test(Scores.from_frame(frame, "acc"), "a", "b")


def test_unused_categories_are_no_learners():
    frame = long({"a": [0.9], "b": [0.8]}).astype({"learner": "category"})
    assert Scores.from_frame(frame[frame["learner"] == "b"], "acc").learners == ("b",)


@pytest.mark.parametrize(("measure", "minimize"), [("acc", False), ("rmse", True), (ol.measures.get("brier"), True)])
def test_the_direction_of_a_known_measure_is_known(measure, minimize):
    name = measure if isinstance(measure, str) else measure.name
    frame = long({"a": [0.9], "b": [0.8]}, measure=name)
    assert Scores.from_frame(frame, measure).minimize is minimize
    assert Scores.from_frame(frame, measure, minimize=not minimize).minimize is not minimize


def test_the_direction_of_an_unknown_measure_has_to_be_said():
    frame = long({"a": [0.9], "b": [0.8]}, measure="profit")
    with pytest.raises(ParameterError, match="'profit' is no measure known here: say whether less is better"):
        Scores.from_frame(frame, "profit")
    assert Scores.from_frame(frame, "profit", minimize=False).measure == "profit"


def test_a_measure_that_is_best_near_zero_is_refused():
    with pytest.raises(ParameterError, match=r"'bias' is best near 0 .* absolute values"):
        Scores.from_frame(long({"a": [0.9]}, measure="bias"), "bias")


GOOD = long({"a": [0.9, 0.7], "b": [0.8, 0.4]})


@pytest.mark.parametrize(
    ("frame", "error", "message"),
    [
        (GOOD.drop(columns="learner"), ColumnNotFoundError, "a table of scores needs column 'learner'"),
        (GOOD.rename(columns={"acc": "accc"}), ColumnNotFoundError, "Did you mean 'accc'"),
        (GOOD.iloc[:0], DataError, "no rows"),
        (GOOD.to_dict(), DataTypeError, "pandas.DataFrame, got dict"),
        (GOOD.assign(acc="0.5"), DataTypeError, "column 'acc' holds numbers"),
        (GOOD.assign(acc=True), DataTypeError, "column 'acc' holds numbers; its type is bool"),
        (GOOD.assign(n_train="90"), DataTypeError, "column 'n_train' holds numbers"),
        (GOOD.assign(task=3), DataTypeError, "column 'task' holds names, which are text; got 3"),
        (GOOD.assign(learner=[None, "a", "b", "b"]), DataTypeError, "column 'learner' holds names"),
        (GOOD.assign(iteration=[0, 1, 0, np.nan]), DataError, "some are missing: number the splits"),
        (GOOD.assign(iteration=0), DataError, "task 'iris', learner 'a', iteration 0 is there twice"),
        (GOOD.drop(columns="iteration"), DataError, "iteration 0 is there twice"),
        (GOOD.assign(n_test=0), DataError, "column 'n_test' counts rows, at least 1; got 0"),
        (GOOD.assign(n_test=12.5), DataError, "column 'n_test' counts rows, at least 1; got 12.5"),
        (GOOD.assign(n_train=[90, 90, 90, np.nan]), DataError, "column 'n_train' counts rows, at least 1; got nan"),
        (pd.concat([GOOD, GOOD[["acc"]]], axis=1), DataError, "one column 'acc', this one has several"),
    ],
)
def test_tables_that_are_none_are_refused(frame, error, message):
    with pytest.raises(error, match=message):
        Scores.from_frame(frame, "acc")


def test_the_table_that_was_given_stays_as_it_was():
    frame = GOOD.copy()
    Scores.from_frame(frame, "acc")
    pd.testing.assert_frame_equal(frame, GOOD)


def failed(value=np.nan):
    table = np.array([[0.9, 0.8, 0.7], [0.6, value, 0.5], [0.8, 0.7, 0.9]])
    return wide(table, ["a", "b", "c"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("statistic", [ranks, friedman, nemenyi, wilcoxon])
def test_a_failed_run_is_refused_by_name_and_can_be_left_out(statistic, value):
    with pytest.raises(DataError, match=f"learner 'b' on task 't1' has {value} in iteration 0: score it again, give failed"):
        statistic(failed(value))
    statistic(failed(value).select(tasks=["t0", "t2"]))


def test_a_failed_fold_is_refused_in_a_paired_test():
    scores = Scores.from_frame(long({"a": [0.9, np.nan, np.nan], "b": [0.8, 0.7, 0.6]}), "acc")
    with pytest.raises(DataError, match="learner 'a' on task 'iris' has nan in iteration 1 and 1 more"):
        t_test(scores, "a", "b")
    with pytest.raises(DataError, match="has nan in iteration 1"):
        bayes_t_test(scores, "b", "a", rope=0.01)


@pytest.mark.parametrize("statistic", [ranks, friedman, nemenyi, wilcoxon])
def test_a_learner_that_was_not_run_on_a_task_is_refused(statistic):
    frame = pd.DataFrame({"task": list("xxxyy"), "learner": list("abcab"), "auc": [0.9, 0.8, 0.7, 0.6, 0.5]})
    with pytest.raises(DataError, match="every learner has to be scored on every task; learner 'c' on task 'y' was not"):
        statistic(Scores.from_frame(frame, "auc"))


def test_unknown_names_get_the_nearest_one():
    scores = Scores.from_frame(GOOD.replace({"learner": {"a": "mlp"}}), "acc")
    with pytest.raises(UnknownNameError, match=r"there is no learner 'mlpp'.*Did you mean 'mlp'"):
        scores.select(learners=["mlpp"])
    with pytest.raises(UnknownNameError, match="there is no task 'irsi'"):
        t_test(scores, "mlp", "b", task="irsi")


def test_selecting_nothing_is_refused():
    scores = Scores.from_frame(GOOD, "acc")
    with pytest.raises(ParameterError, match="learners is a list of names, got the text 'a'"):
        scores.select(learners="a")
    with pytest.raises(ParameterError, match="no score is left"):
        scores.select(tasks=[])


@pytest.mark.parametrize("value", [1 / 3, 1234.5678, -0.1, 1e-300, 5e300, 0.0])
def test_settled_numbers_keep_twelve_digits_and_forget_rounding(value):
    assert settled(value) == pytest.approx(value, rel=1e-11, abs=0)
    assert settled(value * (1 + 4e-16)) == settled(value)


def test_statistics_without_scipy_say_what_to_install():
    code = """
import sys
for name in ("scipy", "sklearn", "torch"): sys.modules[name] = None
import pandas as pd, onnxlearn as ol
scores = ol.statistics.Scores.from_frame(pd.DataFrame({"task": "a", "learner": ["b", "c"], "acc": [0.5, 0.6]}), "acc")
try:
    ol.statistics.ranks(scores)
except ol.errors.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "statistics needs the package scipy: pip install 'onnxlearn[eval]'\n"


def test_importing_statistics_imports_neither_scipy_nor_pandas():
    code = "import sys, onnxlearn as ol; ol.statistics.friedman; print({'scipy', 'pandas', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
