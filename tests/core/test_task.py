"""Tasks: target, roles, arrays, selections; every table that makes none."""

import pickle
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from onnxlearn.errors import ColumnNotFoundError, DataError, DataTypeError, ParameterError
from onnxlearn.resampling import CV
from onnxlearn.schema import DEFAULT_NA, OUTPUT_NAMES, Column, Schema
from onnxlearn.task import ClassificationTask, RegressionTask, Task, TaskWarning, require_tasks, target_truth


def table(**columns):
    return pd.DataFrame({"x": [1.5, None, 2.5, 3.5], "s": ["a", "b", "a", None], "y": ["no", "yes", "no", "yes"]} | columns)


def with_target(values, **options):
    return Task.from_frame(pd.DataFrame({"x": np.linspace(0, 1, len(values)), "y": values}), "y", **options)


def test_a_task():
    task = Task.from_frame(table(), "y", name="demo")
    assert isinstance(task, ClassificationTask)
    assert repr(task) == "ClassificationTask('demo', 4 rows, 2 features (1 numeric, 1 categorical), target 'y' with 2 classes)"
    assert (task.name, task.n_rows, len(task), task.classes, task.positive) == ("demo", 4, 4, ("no", "yes"), "yes")
    assert task.schema.features == (
        Column(name="x", kind="numeric", dtype="float64", has_missing=True),
        Column(name="s", kind="categorical", dtype="str", levels=("a", "b"), has_missing=True),
    )
    assert task.notes == ()
    np.testing.assert_array_equal(task.feeds()["x"], [[1.5], [np.nan], [2.5], [3.5]])
    assert task.feeds()["s"].tolist() == [["a"], ["b"], ["a"], [""]]
    assert task.truth().dtype == np.int64
    assert task.truth().tolist() == [0, 1, 0, 1]
    assert [task.weights(), task.groups(), task.strata(), task.order()] == [None] * 4
    assert Schema.from_dict(task.schema.to_dict()) == task.schema


TARGETS = [
    (["b", "a", "b", "a"], {}, "classification", "str", ("a", "b")),
    (pd.Categorical(["b", "a", "b", "a"], categories=["b", "a"]), {}, "classification", "str", ("b", "a")),
    ([True, False, True, False], {}, "classification", "bool", (False, True)),
    (pd.array([True, False, True, False], dtype="boolean"), {}, "classification", "bool", (False, True)),
    (pd.Series([True, False, True, False], dtype=object), {}, "classification", "bool", (False, True)),
    ([1.5, 2.5, 3.5, 4.5], {}, "regression", "float64", ()),
    ([Decimal(1), Decimal(2), Decimal(3), Decimal("4.5")], {}, "regression", "float64", ()),
    (list(range(0, 42, 2)), {}, "regression", "int64", ()),
    ([3, 1, 2, 1], {"type": "classification"}, "classification", "int64", (1, 2, 3)),
    ([3.0, 1.0, 2.0, 1.0], {"type": "classification"}, "classification", "int64", (1, 2, 3)),
    (pd.array([3, 1, 2, 1], dtype="Int64"), {"type": "classification"}, "classification", "int64", (1, 2, 3)),
    ([3, 1, 2, 1], {"type": "regression"}, "regression", "int64", ()),
    (pd.Categorical([3, 1, 3, 1], categories=[3, 1]), {}, "classification", "int64", (3, 1)),
    (pd.Categorical([3.0, 1.0, 3.0, 1.0], categories=[3.0, 1.0]), {}, "classification", "int64", (3, 1)),
]


@pytest.mark.parametrize(("values", "options", "type_", "dtype", "classes"), TARGETS)
def test_targets(values, options, type_, dtype, classes):
    task = with_target(values, **options)
    target = task.schema.target
    assert (target.type, target.dtype, target.classes) == (type_, dtype, classes)
    assert isinstance(task, RegressionTask if type_ == "regression" else ClassificationTask)
    if type_ == "classification":
        assert [classes[code] for code in task.truth()] == list(values)
        assert target.positive == (classes[1] if len(classes) == 2 else None)
    else:
        assert task.truth().dtype == np.float64
        assert task.truth().tolist() == [[float(value)] for value in values]


def test_integers_with_few_values_are_classes_and_it_is_said(capsys):
    assert with_target([1, 2, 1, 2]).schema.target.type == "classification"
    assert capsys.readouterr().err == (
        "onnxlearn: target 'y': integers with 2 distinct values are taken as classes; "
        "for numbers say type='regression' (--task regression)\n"
    )
    assert with_target(list(range(20))).schema.target.type == "classification"
    capsys.readouterr()
    assert with_target(list(range(21))).schema.target.type == "regression"
    assert with_target([1, 2, 1, 2], type="classification").schema.target.classes == (1, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("values", "positive", "chosen"),
    [(["a", "b"], "a", "a"), ([True, False], False, False), ([1, 2], 1, 1), ([1, 2], "1", 1), ([True, False], "False", False)],
)
def test_positive(values, positive, chosen):
    target = with_target(values, type="classification", positive=positive).schema.target
    assert target.positive == chosen
    assert type(target.positive) is type(chosen)


def test_several_targets():
    frame = pd.DataFrame({"x": [1.5, 2.5], "u": [1, 2], "v": [0.5, 1.5]})
    task = Task.from_frame(frame, ["v", "u"])
    assert task.schema.target.names == ("v", "u")
    assert task.truth().tolist() == [[0.5, 1.0], [1.5, 2.0]]
    assert task.schema.target.dtype == "float64"
    assert repr(task) == "RegressionTask('v', 2 rows, 1 feature (1 numeric), target 'v', 'u')"


def test_notes_on_targets():
    assert with_target([2.5, 2.5]).notes == ("target 'y' has one value only, 2.5; there is nothing to learn",)
    unused = with_target(pd.Categorical(["a", "b"], categories=["a", "z", "b"]))
    assert unused.notes == ("target 'y': classes without a row are left out: 'z'",)
    assert unused.schema.target.classes == ("a", "b")


BAD = [
    (table(), "z", {}, "the role 'target' needs column 'z'; the table has 'x', 's', 'y'."),
    (table(), "Y", {}, r"Did you mean 'y'\?"),
    (table(), [], {}, "a task needs a target"),
    (table(), "y", {"group": "grp"}, "the role 'group' needs column 'grp'"),
    (table(), "y", {"ignore": "z"}, "the role 'ignore' needs column 'z'"),
    (table(), "y", {"kinds": {"z": "numeric"}}, "kinds needs column 'z'"),
    (table(), "y", {"levels": {"z": ["a"]}}, "levels needs column 'z'"),
    (table(), "y", {"strict_bool": "z"}, "strict_bool needs column 'z'"),
    (table(), "y", {"kinds": ["x"]}, r"kinds takes a mapping from column names, like \{'age': 'numeric'\}; got a list$"),
    (table(), "y", {"kinds": []}, "kinds takes a mapping from column names"),
    (table(), "y", {"levels": "s"}, r"levels takes a mapping .*, like \{'size': \['small', 'large'\]\}; got the text 's'$"),
    (table(y=pd.Series(["a", "b", "c", "\ud800"], dtype=object)), "y", {}, "column 'y', row 3: .* holds half a surrogate pair"),
    (
        table(g=pd.Series(["a", "b", "c", "\ud800"], dtype=object)),
        "y",
        {"group": "g"},
        "column 'g', row 3: .* half a surrogate pair",
    ),
    (table(), "y", {"kinds": {"y": "numeric"}}, "kinds names column 'y', which has another role and is no feature"),
    (table(), "y", {"group": "s", "id": ["s"]}, "column 's' is both group and id; a column has one role"),
    (table(), "y", {"weight": "y"}, "column 'y' is both target and weight"),
    (table(), "y", {"weight": ["x", "s"]}, r"weight=\['x', 's'\]: only one column can have this role"),
    (table(), "y", {"ignore": ["x", "s"]}, "no feature is left to train on beside target 'y', ignore 'x', 's'"),
    (table(y=["a"] * 4), "y", {}, "target 'y' has one class only, 'a'"),
    (table(y=[True] * 4), "y", {}, "target 'y' has one class only, True"),
    (table(y=[None] * 4), "y", {}, "target 'y' is missing in all 4 rows; name another target column"),
    (
        table(y=["a", None, "b", ""]),
        "y",
        {},
        r"in 2 of 4 rows; remove them first, from the file or with df.dropna\(subset=\['y'\]\)$",
    ),
    (table(y=[1.5, np.nan, 2, 3]), "y", {}, "missing in 1 of 4 rows"),
    (table(y=[1.5, np.inf, 2, 3]), "y", {}, "column 'y', row 1: the number inf is infinite"),
    (
        table(y=[1.5, -np.inf, 2, 3]),
        "y",
        {"type": "classification"},
        "target 'y' holds the number 1.5, which is no class",
    ),
    (table(x=[1.5, 1, -np.inf, 3]), "y", {}, "column 'x', row 2: the number -inf is infinite; replace it"),
    (table(x=[2**53 + 1, 1, 1, 1]), "y", {}, r"column 'x', row 0: the integer 9007199254740993 is beyond 2\^53"),
    (
        table(y=[1.5, 2.5, 3.5, 4.5]),
        "y",
        {"type": "classification"},
        "target 'y' holds the number 1.5, which is no class",
    ),
    (
        table(y=pd.date_range("2020", periods=4)),
        "y",
        {},
        r"holds the naive date .* and regression needs numbers; convert it to days with \(dates - dates.min\(\)\).dt.days$",
    ),
    (table(y=pd.date_range("2020", periods=4)), "y", {"type": "classification"}, r"which is no class; .*\.astype\(str\)$"),
    (
        table(y=pd.to_timedelta([1, 2, 3, 4])),
        "y",
        {},
        r"holds the duration .*; convert it to numbers with .dt.total_seconds\(\)",
    ),
    (table(), "y", {"type": "regression"}, "target 'y', row 0: regression needs numbers, got the text 'no'; mend the cell"),
    (table(y=["1", "2,5", "3", "4"]), "y", {"type": "regression"}, "row 1: .* got the text '2,5'; write .* a decimal point"),
    (table(y=["1", "2.5", "3", "4"]), "y", {"type": "regression"}, "the text '1', and .*; convert it with pandas.to_numeric$"),
    (table(y=[True] * 4), "y", {"type": "regression"}, r"the boolean True, and .*; convert it with .astype\(int\)$"),
    (table(y=pd.Categorical([1.5, 2.5] * 2)), "y", {}, "target 'y' holds the number 1.5, which is no class"),
    (table(), "y", {"type": "ranking"}, "there is no task type 'ranking'; use one of 'auto', 'classification', 'regression'"),
    (table(), "y", {"positive": "maybe"}, "positive='maybe' is no class; the classes are 'no', 'yes'"),
    (table(y=list("abca")), "y", {"positive": "a"}, "only one of two classes can be the positive one; there are 3"),
    (table(y=[1.5, 2, 3, 4]), "y", {"positive": 1}, "positive=1 names a class, and the target is numbers"),
    (table(), ["x", "y"], {}, "target 'x' is missing in 1 of 4 rows"),
    (table(z=[1, 2, 3, 4]), ["z", "y"], {}, "target 'y', row 0: regression needs numbers, got the text 'no'"),
    (table(z=[1, 2, 3, 4]), ["z", "y"], {"type": "classification"}, "several target columns are for regression"),
    (table().iloc[:0], "y", {}, "the table has no rows"),
    (table().rename(columns={"x": 3}), "y", {}, r"column names must be text, got 3; .*astype\(str\)"),
    (table().rename(columns={"x": ""}), "y", {}, "a column without a name cannot be a feature; rename it"),
    (table().rename(columns={"x": "s"}), "y", {}, "'s' occur more than once: rename or drop all but one"),
    (table().set_axis(pd.Index(["\ud800", "s", "y"], dtype=object), axis=1), "y", {}, "is no Unicode text"),
    (
        table().rename(columns={"x": "net/a"}),
        "y",
        {},
        r"starts with 'net/', which is reserved inside the model; .*\{'net/a': 'x_a'\}",
    ),
    ([[1, 2]], "y", {}, "a task is made of a pandas DataFrame, got list"),
    (table(w=[1, 2, -1, 0]), "y", {"weight": "w"}, "weight column 'w', row 2: a weight must be a number >= 0, got -1.0"),
    (table(w=[1, 2, None, 0]), "y", {"weight": "w"}, "weight column 'w', row 2: a weight must be a number >= 0, got nan"),
    (table(w=[0, 0, 0, 0]), "y", {"weight": "w"}, "weight column 'w': all weights are 0"),
    (
        table(w=["1", "2", "3", "4"]),
        "y",
        {"weight": "w"},
        "weight column 'w' holds the text '1', and a weight must be a number >= 0; convert it with pandas.to_numeric$",
    ),
    (table(w=["1", "?", "3", "4"]), "y", {"weight": "w"}, "weight column 'w', row 1: a weight must be .*, got the text '?'"),
    (table(w=[True] * 4), "y", {"weight": "w"}, r"holds the boolean True, .*; convert it with .astype\(int\)$"),
    (table(w=pd.date_range("2020", periods=4)), "y", {"weight": "w"}, "holds the naive date .*; name another column$"),
    (
        table(w=[1, np.inf, 3, 4]),
        "y",
        {"weight": "w"},
        "column 'w', row 1: the number inf is infinite; replace it by a finite number, or in a feature by None for missing$",
    ),
    (table(), "y", {"group": "s"}, "group column 's', row 3: the value is missing; fill it or remove the row"),
    (table(), "y", {"order": "x"}, "order column 'x', row 1: the value is missing"),
    (table(o=[1, "a", 2, 3]), "y", {"order": "o"}, "column 'o' mixes types"),
]


@pytest.mark.parametrize(("frame", "target", "options", "message"), BAD)
def test_what_makes_no_task(frame, target, options, message):
    with pytest.raises(DataError, match=message) as caught:
        Task.from_frame(frame, target, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*OUTPUT_NAMES, "prep/x", "post/"])
def test_names_that_the_model_needs_itself(name):
    with pytest.raises(DataError, match=r"rename it, for instance with df\.rename"):
        Task.from_frame(table().rename(columns={"x": name}), "y")
    assert Task.from_frame(table().rename(columns={"x": name}), "y", ignore=name).schema.feature_names == ("s",)
    assert Task.from_frame(table().rename(columns={"y": name}), name).schema.target.name == name


def test_missing_columns_are_the_right_error():
    with pytest.raises(ColumnNotFoundError, match="needs column 'z'"):
        Task.from_frame(table(), "z")


# ------------------------------ roles


def test_roles():
    frame = table(
        g=["u", "v", "u", "v"],
        w=[1, 0, 2.5, 3],
        o=["2020-01-02", "1960-01-01", "2020-01-02", "2021-01-01"],
        a=[1, 2, 1, None],
        b=["p", "p", "q", "q"],
        k=[7, 8, 9, 10],
        z=[object()] * 4,
    )
    task = Task.from_frame(frame, "y", group="g", weight="w", order="o", stratum=["a", "b"], id="k", ignore=["z"])
    assert task.schema.feature_names == ("x", "s")
    schema = task.schema
    roles = (schema.group, schema.weight, schema.order, schema.stratum, schema.id, schema.ignored)
    assert roles == ("g", "w", "o", ("a", "b"), ("k",), ("z",))
    assert task.groups().tolist() == [0, 1, 0, 1]
    assert task.weights().tolist() == [1, 0, 2.5, 3]
    assert task.order().tolist() == [1, 0, 1, 2]
    assert task.strata().tolist() == [0, 2, 1, 3]
    assert {array.dtype for array in (task.groups(), task.order(), task.strata())} == {np.dtype(np.int64)}


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([3, 1, 2, 1], [2, 0, 1, 0]),
        ([2**60 + 1, 2**60, 5, 5], [2, 1, 0, 0]),
        ([0.5, -1, 9, 0.5], [1, 0, 2, 1]),
        (pd.to_datetime(["2020-01-02", "1960-01-01", "2020-01-01", "2020-01-02"]), [2, 0, 1, 2]),
        (["2020-01-01T12:00+02:00", "2020-01-01T11:00Z", "2020-01-01T10:00Z", "2020-01-01T09:00Z"], [1, 2, 1, 0]),
        (pd.Categorical(list("bacb"), categories=list("cab")), [2, 1, 0, 2]),
        (list("bacb"), [1, 0, 2, 1]),
        ([True, False, True, False], [1, 0, 1, 0]),
        (pd.array([3, 1, 2, 1], dtype="Int64"), [2, 0, 1, 0]),
    ],
)
def test_order_follows_the_values(values, codes):
    assert Task.from_frame(table(o=values), "y", order="o").order().tolist() == codes


def test_identifiers_are_proposed_with_a_warning_and_not_trained_on():
    frame = pd.DataFrame(
        {"name": [f"n{i}" for i in range(12)], "row": range(12), "x": np.linspace(0, 1, 12), "y": [1.5, 2.5] * 6}
    )
    with pytest.warns(TaskWarning) as caught:
        task = Task.from_frame(frame, "y")
    assert [warning.filename for warning in caught] == [__file__] * 2
    assert "column 'name' holds text that never repeats: taken for an identifier" in str(caught[0].message)
    assert "column 'row' holds row numbers" in str(caught[1].message)
    assert task.schema.id == ("name", "row")
    assert task.schema.feature_names == ("x",)
    assert len(task.notes) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = Task.from_frame(frame, "y", kinds={"name": "categorical"}, id="row")
    assert told.schema.feature_names == ("name", "x")


def test_only_identifiers_is_no_task():
    frame = pd.DataFrame({"name": [f"n{i}" for i in range(12)], "y": [1.5, 2.5] * 6})
    with pytest.raises(DataError, match="no feature is left to train on beside target 'y', identifier 'name'"):
        Task.from_frame(frame, "y")


def test_cells_that_are_levels_do_not_mean_missing():
    task = Task.from_frame(table(s=["NA", "None", "NA", "x"]), "y")
    assert task.schema.na == tuple(cell for cell in DEFAULT_NA if cell not in ("NA", "None"))
    assert task.notes == ("'NA', 'None' occur as values and so do not mean missing in text files",)
    assert Task.from_frame(table(y=["nan", "b", "b", "b"]), "y").schema.na == tuple(c for c in DEFAULT_NA if c != "nan")


def test_strict_bool():
    task = Task.from_frame(table(f=[True, False, True, False]), "y", strict_bool="f")
    assert task.feeds()["f"].dtype == np.bool_
    with pytest.raises(DataError, match="declared strict_bool and has missing values"):
        Task.from_frame(table(f=[True, False, True, None]), "y", strict_bool=["f"])


def test_the_classes_of_tasks():
    assert isinstance(ClassificationTask.from_frame(table(y=[1, 2, 1, 2]), "y"), ClassificationTask)
    assert isinstance(RegressionTask.from_frame(table(y=[1, 2, 1, 2]), "y"), RegressionTask)
    with pytest.raises(
        DataError, match=r"RegressionTask makes tasks of type 'regression', not 'classification'; use Task\.from_frame"
    ):
        RegressionTask.from_frame(table(), "y", type="classification")


# ------------------------------ rows


def weighted():
    n = 60
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "s": rng.choice(["a", "b", None], n),
            "w": rng.random(n),
            "g": rng.integers(0, 9, n),
            "y": ["u", "v"] * 30,
        },
        index=rng.permutation(n),
    )
    return Task.from_frame(frame, "y", weight="w", group="g")


def test_select():
    task = weighted()
    for rows in ([5, 0, 5], np.array([5, 0, 5]), np.arange(60) % 7 == 0, []):
        part = task.select(rows)
        index = np.arange(60)[np.asarray(rows, dtype=int if len(rows) < 60 else bool)] if len(rows) else np.zeros(0, dtype=int)
        fresh = Task(task.frame.iloc[index], task.schema) if len(index) else None
        assert part.schema is task.schema
        assert isinstance(part, ClassificationTask)
        assert part.n_rows == len(index)
        np.testing.assert_array_equal(part.truth(), task.truth()[index])
        np.testing.assert_array_equal(part.weights(), task.weights()[index])
        np.testing.assert_array_equal(part.groups(), task.groups()[index])
        if fresh is not None:
            for name, array in fresh.feeds().items():
                np.testing.assert_array_equal(part.feeds()[name], array)


def test_selected_rows_of_selected_rows_have_the_table_of_those_rows():
    task = weighted()
    part = task.select(np.arange(10, 50)).select([3, 0, 3])
    pd.testing.assert_frame_equal(part.frame, task.frame.iloc[[13, 10, 13]])
    np.testing.assert_array_equal(part.row_ids, task.frame.index[[13, 10, 13]])
    np.testing.assert_array_equal(part.truth(), task.truth()[[13, 10, 13]])
    assert part.frame is part.frame
    np.testing.assert_array_equal(part.select([2]).frame.index, part.row_ids[[2]])


def test_the_table_of_selected_rows_goes_to_other_processes():
    part = pickle.loads(pickle.dumps(weighted().select([4, 2])))
    pd.testing.assert_frame_equal(part.frame, weighted().frame.iloc[[4, 2]])
    np.testing.assert_array_equal(part.row_ids, part.frame.index)


def test_split():
    task = weighted()
    rest, aside = task.split(0.25, seed=1)
    assert rest.n_rows + aside.n_rows == 60
    assert not set(rest.groups().tolist()) & set(aside.groups().tolist())
    assert sorted([*rest.frame.index, *aside.frame.index]) == list(range(60))
    again = task.split(0.25, seed=1)[1]
    np.testing.assert_array_equal(again.frame.index, aside.frame.index)
    plain = Task.from_frame(task.frame, "y", ignore=["g", "w"])
    assert np.bincount(plain.split(0.2, 3)[1].truth()).tolist() == [6, 6]
    by_stratum = Task.from_frame(task.frame, "y", stratum="s", ignore=["g", "w"])
    share = np.bincount(by_stratum.split(0.5, 3)[1].strata()) / np.bincount(by_stratum.strata())
    np.testing.assert_allclose(share, 0.5, atol=0.11)
    latest = Task.from_frame(task.frame, "y", order="x", ignore=["g", "w"])
    before, after = latest.split(0.2, 0)
    assert after.n_rows == 12
    assert before.frame["x"].max() < after.frame["x"].min()


def test_the_table_may_change_afterwards():
    frame = table()
    task = Task.from_frame(frame, "y")
    frame.loc[0, "x"] = 99.0
    assert task.feeds()["x"][0, 0] == 1.5


def test_rows_that_are_not_there():
    task = weighted()
    for rows, message in [
        ([999], r"rows have to lie in 0\.\.59, the task's rows; 999 does not"),
        ([3, -1], r"rows have to lie in 0\.\.59, the task's rows; -1 does not"),
        ([True] * 59, "a mask has an entry for each of the task's 60 rows; this one has 59"),
        ([0.5], r"rows are numbers from 0 or a mask of booleans; got an array float64 \[1\]"),
        ([[1]], r"got an array int64 \[1, 1\]"),
    ]:
        with pytest.raises(ParameterError, match=message):
            task.select(rows)


def test_the_seed_of_a_split_is_0_unless_told():
    np.testing.assert_array_equal(weighted().split(0.25)[1].frame.index, weighted().split(0.25, 0)[1].frame.index)


def test_notes_are_shown():
    task = Task.from_frame(table(c=[1, 1, 1, 1]), "y", name="demo")
    assert repr(task) == (
        "ClassificationTask('demo', 4 rows, 3 features (2 numeric, 1 categorical), target 'y' with 2 classes)\n"
        "  column 'c' has one value only, 1; it says nothing"
    )
    many = Task.from_frame(table(**{f"c{i}": [1] * 4 for i in range(40)}), "y")
    assert repr(many).count("\n") == 13
    assert repr(many).endswith("\n  and 28 more in .notes")


# ------------------------------ other tables under a task's schema


@pytest.mark.parametrize("role", ["weight", "group", "stratum", "order"])
def test_a_table_without_a_role(role):
    frame = table(r=[1, 2, 3, 4])
    schema = Task.from_frame(frame, "y", **{role: "r"}).schema
    with pytest.raises(ColumnNotFoundError, match=f"the role '{role}' needs column 'r'; the table has 'x', 's', 'y'"):
        Task(frame.drop(columns="r"), schema)


def test_a_task_takes_a_frame_and_a_schema():
    task = Task.from_frame(table(), "y")
    with pytest.raises(DataError, match="a task is made of a pandas DataFrame, got list"):
        Task([[1, 2]], task.schema)
    with pytest.raises(DataError, match=r"the schema of another task, task\.schema, got the text 'y'; use Task\.from_frame"):
        Task(table(), "y")
    noted = Task.from_frame(table(c=[1, 1, 1, 1]), "y")
    with pytest.raises(
        DataError, match=r"task\.schema, got a ClassificationTask; use Task\.from_frame\(df, target=\.\.\.\) to"
    ):
        Task(table(), noted)


def test_what_a_learner_can_fit():
    task = Task.from_frame(table(), "y")
    require_tasks(task)
    require_tasks(task, Task.from_frame(table(s=["b", "c", "b", "b"], x=[1, 2, 3, 4]), "y"))
    for wrong in (table(), None, "penguins.csv"):
        with pytest.raises(
            DataError, match=r"fit takes a Task, got .*; make one with ol\.Task\.from_frame\(df, target=\.\.\.\)"
        ):
            require_tasks(wrong)
    with pytest.raises(
        DataError, match=r"test= takes a Task, got a DataFrame; make one with ol\.Task\(test_df, task\.schema\)"
    ):
        require_tasks(task, table())


OTHERS = [
    (table().drop(columns="x"), {}, r"the test task needs column 'x'; the table has 's'\. Or put its table under"),
    (table(x=list("abca")), {}, r"column 'x' is numeric in the task and categorical \(str\) in the test task; put its table"),
    (
        table(y=["no", "yes", "no", "maybe"]),
        {},
        "target is 'y' with the classes 'no', 'yes', the test task's 'y' with the .*'maybe'",
    ),
    (table(y=[1, 2, 3, 4]), {"type": "regression"}, "the test task's 'y' of numbers; put its table under the task's schema"),
]


@pytest.mark.parametrize(("frame", "options", "message"), OTHERS)
def test_a_test_task_that_does_not_fit(frame, options, message):
    task = Task.from_frame(table(), "y")
    with pytest.raises(DataError, match=message) as caught:
        require_tasks(task, Task.from_frame(frame, "y", **options))
    assert "\n" not in str(caught.value)


def test_a_test_task_has_the_tasks_weight():
    frame = table(w=[1, 2, 3, 4])
    plain, weighted = Task.from_frame(frame, "y", ignore="w"), Task.from_frame(frame, "y", weight="w")
    require_tasks(weighted, weighted)
    with pytest.raises(DataError, match="the task's weight column is 'w', the test task has none; put its table under"):
        require_tasks(weighted, plain)
    with pytest.raises(DataError, match="the task has no weight column, the test task's is 'w'; put its table under"):
        require_tasks(plain, weighted)


# ------------------------------ truth of other tables


def test_truth_of_other_tables():
    schema = Task.from_frame(table(), "y").schema
    assert target_truth(pd.DataFrame({"y": pd.Categorical(["yes", "no"])}), schema).tolist() == [1, 0]
    with pytest.raises(DataError, match="target 'y', row 1: class 'maybe' was not trained on; the classes are 'no', 'yes'"):
        target_truth(pd.DataFrame({"y": ["yes", "maybe"]}), schema)
    with pytest.raises(DataError, match="target 'y', row 1: the true value is missing; leave out the rows without one"):
        target_truth(pd.DataFrame({"y": ["yes", None]}), schema)
    with pytest.raises(DataTypeError, match="column 'y', row 0: expected text as in training, got the number 1"):
        target_truth(pd.DataFrame({"y": [1, 2]}), schema)
    with pytest.raises(ColumnNotFoundError, match="the target needs column 'y'; the table has 'z'"):
        target_truth(pd.DataFrame({"z": [1]}), schema)


def test_truth_of_booleans_and_numbers():
    booleans = with_target([True, False, True]).schema
    assert target_truth(pd.DataFrame({"y": [False, True]}), booleans).tolist() == [0, 1]
    with pytest.raises(DataTypeError, match="expected True or False as in training, got the number 1"):
        target_truth(pd.DataFrame({"y": [1, 0]}), booleans)
    numbers = with_target([1.5, 2.5, 3.5]).schema
    assert target_truth(pd.DataFrame({"y": [1, 2]}), numbers).tolist() == [[1.0], [2.0]]
    with pytest.raises(DataError, match="row 0: the true value is missing"):
        target_truth(pd.DataFrame({"y": [None, 2]}), numbers)


# ------------------------------ files


def test_from_file(tmp_path):
    path = tmp_path / "my table.csv"
    table().to_csv(path, index=False)
    task = Task.from_file(path, "y", positive="no", ignore="s")
    assert (task.name, task.schema.target.positive, task.schema.ignored) == ("my table", "no", ("s",))
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        Task.from_file(path, "y", colour=1)


def test_an_index_written_by_pandas(tmp_path):
    path = tmp_path / "t.csv"
    table().to_csv(path)
    with pytest.raises(DataError, match="a column without a name cannot be a feature"):
        Task.from_file(path, "y")
    assert Task.from_file(path, "y", ignore="").schema.feature_names == ("x", "s")


def test_identifier_warning_of_a_file_points_here(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"k": [f"n{i}" for i in range(12)], "x": [0.5, 1.5] * 6, "y": [1.5, 2.5] * 6}).to_csv(path, index=False)
    with pytest.warns(TaskWarning, match="column 'k'") as caught:
        Task.from_file(path, "y")
    assert caught[0].filename == __file__


def test_half_a_surrogate_pair_in_a_file_is_told_by_its_line(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"s": "a", "y": "u"}\n{"s": "b", "y": "v"}\n{"s": "a\\ud800", "y": "u"}\n')
    with pytest.raises(DataTypeError, match=r"column 's', line 3: the text 'a\\ud800' holds half a surrogate pair"):
        Task.from_file(path, "y")
    with pytest.raises(DataError, match=r"kinds takes a mapping .*; got a list$"):
        Task.from_file(path, "y", kinds=["s"])


def test_numbers_with_commas_as_a_target_are_noted():
    task = Task.from_frame(table(y=["1,5", "2", "3,5", "4"]), "y")
    assert task.notes[0].startswith(
        "target 'y': its cells look like numbers with decimal commas or thousands separators ('1,5')"
    )
    assert Task.from_frame(table(y=["1,5", "2", "3,5", "4"]), "y", type="classification").notes == ()


def test_dates_as_a_target_are_told_to_be_none():
    for text in ("31.12.2020", "2020-12-31"):
        (note,) = Task.from_frame(table(y=[text, "01.02.2021", "03.02.2021", text]), "y").notes
        assert note.startswith(
            f"target 'y': its cells look like dates ({text!r}) and are taken as classes; a date is no target:"
        )
        assert "(dates - dates.min()).dt.days" in note


def test_columns_with_a_place_of_their_own_are_no_suggestion():
    frame = table().rename(columns={"s": "xs"})
    for options in ({"kinds": {"xss": "numeric", "xs": "categorical"}}, {"kinds": {"xss": "numeric"}, "ignore": "xs"}):
        with pytest.raises(DataError, match=r"kinds needs column 'xss'.*'y'\.$"):
            Task.from_frame(frame, "y", **options)
    with pytest.raises(DataError, match=r"the role 'group' needs column 'Y'.*'y'\.$"):
        Task.from_frame(frame, "y", group="Y")


def file_with(tmp_path, cell, column):
    """Line 7 of a file of 40 rows holds the cell; two lines of text in one cell come before it."""
    frame = pd.DataFrame({"a": np.arange(40) % 13 + 0.5, "w": 1.0, "s": list("uv") * 20, "y": np.arange(40) % 19 + 0.5})
    frame = frame.astype(object)
    frame.loc[1, "s"] = "two\nlines"
    frame.loc[4, column] = cell
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("cell", "column", "options", "message"),
    [
        ("inf", "a", {}, "column 'a', line 7: the number inf is infinite"),
        ("-1", "w", {"weight": "w"}, "weight column 'w', line 7: a weight must be a number >= 0, got -1.0"),
        ("much", "w", {"weight": "w"}, "weight column 'w', line 7: a weight must be a number >= 0, got the text 'much'"),
        ("", "s", {"group": "s"}, "group column 's', line 7: the value is missing"),
        ("inf", "y", {"type": "regression"}, "column 'y', line 7: the number inf is infinite"),
        ("?", "y", {"type": "regression"}, "target 'y', line 7: regression needs numbers, got the text '?'"),
        (
            "2,5",
            "a",
            {"kinds": {"a": "numeric"}},
            "line 7: .* holds the text '2,5'; write numbers with a decimal point .*1234.5$",
        ),
        ("?", "a", {"kinds": {"a": "numeric"}}, "column 'a', line 7: .*holds the text '?'.*say --na '\\?' beside"),
    ],
)
def test_messages_name_the_line_of_the_file(tmp_path, cell, column, options, message):
    with pytest.raises(DataError, match=message):
        Task.from_file(file_with(tmp_path, cell, column), "y", **options)


def test_a_cell_that_makes_a_column_text_is_named(tmp_path):
    task = Task.from_file(file_with(tmp_path, "oops", "a"), "y", ignore="w")
    assert task.schema.column("a").kind == "categorical"
    assert task.notes == (
        (
            "column 'a': 39 of 40 cells are numbers, 'oops' (line 7) is not, so all are taken as text; if it means missing, "
            "say --na oops beside the other spellings in use (of a data frame: pandas.to_numeric(..., errors='coerce')), "
            "--kind a=numeric (kinds={'a': 'numeric'}) refuses it"
        ),
    )
    missing = Task.from_file(file_with(tmp_path, "oops", "a"), "y", na=["oops"])
    assert missing.schema.column("a") == Column(name="a", kind="numeric", dtype="float64", has_missing=True)
    target = Task.from_file(file_with(tmp_path, "oops", "y"), "y", ignore="w")
    assert isinstance(target, ClassificationTask)
    assert target.notes == (
        "target 'y': 39 of 40 cells are numbers, 'oops' (line 7) is not, so all are classes; mend or remove what is a slip",
    )


def test_a_cell_with_a_decimal_comma_needs_a_point(tmp_path):
    (note,) = Task.from_file(file_with(tmp_path, "12,5", "a"), "y", type="regression", ignore="w").notes
    way_out = "write numbers with a decimal point and no other separator, like 1234.5"
    assert note == f"column 'a': 39 of 40 cells are numbers, '12,5' (line 7) is not, so all are taken as text; {way_out}"
    (note,) = Task.from_file(file_with(tmp_path, "12,5", "y"), "y", ignore="w").notes
    assert note == f"target 'y': 39 of 40 cells are numbers, '12,5' (line 7) is not, so all are classes; {way_out}"


def test_digits_with_leading_zeros_are_numbers_where_declared(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("zip,y\n007,a\n012,b\n007,a\n")
    assert Task.from_file(path, "y").notes == ("column 'zip': numbers with leading zeros written as text, taken as categories",)
    declared = Task.from_file(path, "y", kinds={"zip": "numeric"})
    assert declared.feeds()["zip"][:, 0].tolist() == [7, 12, 7]


def test_zeros_and_ones_of_a_file_declared_boolean(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"flag": [0, 1, 1, 0], "gap": [0, None, 1, 1], "y": ["u", "v", "u", "v"]}).to_csv(path, index=False)
    task = Task.from_file(path, "y", kinds={"flag": "boolean", "gap": "boolean"})
    assert [(column.kind, column.dtype) for column in task.schema.features] == [("boolean", "int64")] * 2
    np.testing.assert_array_equal(task.feeds()["gap"], [[0.0], [np.nan], [1.0], [1.0]])


def test_copies_of_a_row_stay_together() -> None:
    """As a bootstrap draws them: early stopping must not look at rows that were trained on."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": np.arange(200.0), "y": np.repeat(["a", "b"], [150, 50])})
    task = Task.from_frame(frame, "y")
    drawn = task.select(np.sort(rng.integers(0, 200, 200)))
    for part in (drawn, drawn.select(rng.permutation(200))):
        rest, aside = part.split(0.25)
        assert not set(rest.frame["x"]) & set(aside.frame["x"])
        # A share of the different rows of each class.
        different = part.frame.drop_duplicates("x")["y"].value_counts()
        assert aside.frame.drop_duplicates("x")["y"].value_counts()["b"] == pytest.approx(0.25 * different["b"], abs=1)
        assert pd.DataFrame({"x": part.frame["x"], "fold": part.folds(5)}).groupby("x")["fold"].nunique().max() == 1
        for train, test in CV(3).split(part):
            assert not set(part.frame["x"].iloc[train]) & set(part.frame["x"].iloc[test])
    assert task.groups() is None
    assert task.select(rng.permutation(200)).groups() is None
    assert drawn.select(np.unique(drawn.frame["x"], return_index=True)[1]).groups() is None


def test_copies_stay_with_their_group_and_in_time() -> None:
    frame = pd.DataFrame({"x": np.arange(60.0), "y": np.arange(60) / 7, "g": np.arange(60) // 5, "t": np.arange(60) // 2})
    rows = np.repeat(np.arange(60), 2)
    grouped = Task.from_frame(frame, "y", group="g").select(rows)
    assert len(np.unique(grouped.groups())) == 12
    rest, aside = grouped.split(0.25)
    assert not set(rest.frame["g"]) & set(aside.frame["g"])
    rest, aside = Task.from_frame(frame, "y", order="t").select(rows).split(0.2)
    assert rest.frame["t"].max() < aside.frame["t"].min()
    assert len(aside.frame) == 24
