"""Date parts in the graph, against pandas and the standard library."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.dates import CivilTime
from onnxlearn.preprocess.plan import plan_ingress
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.schema import MISSING_INT64
from tests.core.hand_tables import AGE, BORN, SEEN, draw_feeds, feed, run_model, schema_of

PARTS = ("year", "month", "day", "weekday", "hour", "minute", "elapsed")
CYCLIC = ("month_cyclic", "day_cyclic", "weekday_cyclic", "hour_cyclic")
EPOCH = dt.datetime(1970, 1, 1)
MICROSECOND = dt.timedelta(microseconds=1)


def civil(micros):
    """All parts of these microseconds by the graph, before any scaling."""
    g = GraphBuilder()
    time = CivilTime(g, g.input("t", "INT64", ["N", 1]))
    for part in PARTS:
        g.output(time.part(part), part, "DOUBLE", ["N", 1])
    for part in CYCLIC:
        g.output(time.phase(part), part, "DOUBLE", ["N", 1])
    outputs = run_model(g.to_model(), {"t": np.array(micros, np.int64).reshape(-1, 1)})
    return {name: values[:, 0] for name, values in outputs.items()}


def civil_of_pandas(micros):
    times = pd.Series(np.array(micros, "datetime64[us]")).dt
    parts = {name: getattr(times, name).to_numpy() for name in ("year", "month", "day", "hour", "minute")}
    return {**parts, "weekday": times.day_of_week.to_numpy()}


def test_a_hundred_thousand_dates_are_those_of_pandas():
    micros = np.random.default_rng(0).integers(-62_135_596_800_000_000, 253_402_300_799_999_999, 100_000)
    got, expected = civil(micros), civil_of_pandas(micros)
    for name, values in expected.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)
    np.testing.assert_allclose(got["elapsed"], micros / 86_400_000_000, rtol=1e-15)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.datetimes(), min_size=1, max_size=10))
def test_drawn_dates_are_those_of_the_standard_library(times):
    got = civil([(time - EPOCH) // MICROSECOND for time in times])
    for part in ("year", "month", "day", "hour", "minute"):
        assert got[part].tolist() == [getattr(time, part) for time in times]
    assert got["weekday"].tolist() == [time.weekday() for time in times]


@pytest.mark.parametrize(
    "text",
    [
        "1969-12-31T23:59:59.999999",
        "1900-02-28T12:00",
        "1900-03-01T00:00",
        "2000-02-29T23:59:59",
        "1582-10-04T06:30",
        "0001-01-01T00:00",
        "9999-12-31T23:59:59.999999",
        "1970-01-01T00:00",
    ],
)
def test_dates_that_are_easy_to_get_wrong(text):
    time = dt.datetime.fromisoformat(text)
    got = civil([(time - EPOCH) // MICROSECOND])
    parts = (time.year, time.month, time.day, time.weekday(), time.hour, time.minute)
    assert tuple(got[part][0] for part in PARTS[:-1]) == parts


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(MISSING_INT64 + 1, 2**63 - 1), min_size=1, max_size=10))
@example([MISSING_INT64 + 1, MISSING_INT64 + 86_400_000_000, 2**63 - 1, 2**63 - 86_400_000_000])
def test_the_whole_range_of_int64_has_dates(micros):
    got = civil(micros)
    for i, value in enumerate(micros):
        # The calendar repeats itself after 146,097 days, which are 400 years: integers of any size have a date.
        eras, rest = divmod(value, 146_097 * 86_400_000_000)
        time = EPOCH + rest * MICROSECOND
        parts = (time.year + 400 * eras, time.month, time.day, time.weekday(), time.hour, time.minute)
        assert tuple(got[part][i] for part in PARTS[:-1]) == parts


def test_cyclic_parts_are_angles():
    got = civil([(dt.datetime(2024, 4, 11, 6) - EPOCH) // MICROSECOND])  # a Thursday
    expected = {"month_cyclic": 3 / 12, "day_cyclic": 10 / 31, "weekday_cyclic": 3 / 7, "hour_cyclic": 6 / 24}
    for name, turn in expected.items():
        assert got[name][0] == pytest.approx(2 * np.pi * turn)


def fitted(schema=None, **settings):
    schema = schema or schema_of(BORN, SEEN)
    feeds = draw_feeds(schema, 200)
    return Preprocessing.fit(schema, PreprocessConfig(**settings), feeds), feeds


def test_parts_enter_by_name():
    steps, _ = fitted(datetime_parts=("year", "hour_cyclic"))
    assert steps.schema.ingress.num_names == (
        "born.year", "seen.year", "born.hour_sin", "seen.hour_sin", "born.hour_cos", "seen.hour_cos", "born:missing",
    )  # fmt: skip


@pytest.mark.parametrize("parts", [(part,) for part in PARTS + CYCLIC] + [PARTS, CYCLIC, PARTS + CYCLIC])
def test_every_choice_of_parts_is_imputed_with_one_indicator(parts):
    steps, feeds = fitted(datetime_parts=parts)
    num = steps.transform(feeds)["num"]
    assert np.isfinite(num).all()
    assert [name for name in steps.schema.ingress.num_names if name.endswith(":missing")] == ["born:missing"]
    np.testing.assert_array_equal(num[:, -1], feeds["born"][:, 0] == MISSING_INT64)


def test_parts_are_scaled_like_numbers():
    schema = schema_of(SEEN)
    steps, feeds = fitted(schema, datetime_parts=("year",), num_scaler="standard", smooth_clip=False)
    years = feeds["seen"][:, 0].astype("datetime64[us]").astype("datetime64[Y]").astype(float)
    np.testing.assert_allclose(steps.transform(feeds)["num"][:, 0], (years - years.mean()) / years.std(), rtol=1e-5, atol=1e-5)


def test_sines_and_cosines_are_not_scaled_and_missing_is_their_middle():
    steps, _ = fitted(schema_of(BORN), datetime_parts=("hour_cyclic",))
    six = (dt.datetime(1950, 5, 5, 6) - EPOCH) // MICROSECOND
    num = steps.transform({"born": feed(BORN, [six, 0, MISSING_INT64])})["num"]
    np.testing.assert_allclose(num, [[1, 0, 0], [0, 1, 0], [0, 0, 1]], atol=1e-7)


def test_elapsed_time_tells_seconds_apart():
    start = (dt.datetime(2024, 1, 1) - EPOCH) // MICROSECOND
    micros = start + np.arange(100) * 1_000_000
    feeds = {"seen": feed(SEEN, micros)}
    config = PreprocessConfig(datetime_parts=("elapsed",), num_scaler="standard", smooth_clip=False)
    got = Preprocessing.fit(schema_of(SEEN), config, feeds).transform(feeds)["num"][:, 0]
    seconds = np.arange(100)
    np.testing.assert_allclose(got, (seconds - seconds.mean()) / seconds.std(), atol=1e-6)


def test_parts_that_never_vary_are_zero():
    feeds = {"seen": feed(SEEN, np.arange(40) * 86_400_000_000)}
    steps = Preprocessing.fit(schema_of(SEEN), PreprocessConfig(datetime_parts=("hour", "minute", "hour_cyclic")), feeds)
    other = {"seen": feed(SEEN, [12_345_678_901, -1, MISSING_INT64])}
    np.testing.assert_array_equal(steps.transform(other)["num"], np.zeros((3, 4)))


def test_a_missing_value_in_a_date_that_never_was_missing_is_imputed():
    steps, _ = fitted(schema_of(SEEN))
    assert np.isfinite(steps.transform({"seen": feed(SEEN, [MISSING_INT64])})["num"]).all()


def test_dates_may_be_left_out_but_not_be_all_there_is():
    config = PreprocessConfig(datetime_parts=())
    assert plan_ingress(schema_of(AGE, BORN), config).num_names == ("age", "age:missing")
    with pytest.raises(ParameterError, match="no column enters the network: give datetime_parts at least one part"):
        plan_ingress(schema_of(BORN), config)


def test_a_constant_for_missing_numbers_is_not_one_for_missing_dates():
    settings = {"datetime_parts": ("year",), "num_impute": "constant", "num_scaler": "none"}
    near, _ = fitted(schema_of(BORN), impute_value=0.0, **settings)
    far, _ = fitted(schema_of(BORN), impute_value=5000.0, **settings)
    missing = {"born": feed(BORN, [MISSING_INT64])}
    np.testing.assert_array_equal(near.transform(missing)["num"], far.transform(missing)["num"])
