"""The row that an example shows where no table is given: of what a file itself knows of its columns."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.export.usual import usual_feeds
from onnxlearn.model import Model
from tests.core.small_models import PRICE, schema_of, small_model

N = 200


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "year": rng.integers(1950, 2020, N),
            "share": rng.beta(2, 5, N).astype(np.float32),
            "price": pd.Series(rng.lognormal(11, 0.4, N)).mask(rng.random(N) < 0.2),
            "took": pd.Series(pd.to_timedelta(rng.integers(3000, 5000, N), unit="s")),
            "sold": pd.Series(pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 300, N), unit="D")),
            "seen": pd.Series(pd.Timestamp("2021-03-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 300, N), unit="D")),
            "city": rng.choice(["Bonn", "Köln"], N),
            "new": rng.random(N) < 0.5,
            "y": rng.normal(size=N),
        }
    )


@pytest.mark.parametrize("scaler", ["standard", "robust", "quantile", "yeo_johnson", "box_cox"])
def test_numbers_and_dates_lie_among_those_of_training(frame, scaler):
    model = fitted(frame, num_scaler=scaler)
    row = {name: array.item() for name, array in usual_feeds(model).items()}
    for name in ("year", "share", "price"):
        low, high = frame[name].quantile([0.3, 0.7])
        assert low <= row[name] <= high, name
    assert row["year"] == round(row["year"])
    assert 3600 < row["took"] < 4400
    for name in ("sold", "seen"):
        day = dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=row[name])
        assert dt.datetime(2021, 5, 1) < day < dt.datetime(2021, 11, 1)
        assert day.minute == day.second == 0
    assert row["city"] == "Bonn"
    assert row["new"] == 1.0


def fitted(frame, **options):
    return ol.learner("linear", max_epochs=1, **options).fit(ol.Task.from_frame(frame, "y"), progress=False)


def test_it_is_a_row_that_the_model_takes_and_no_row_of_the_table(frame):
    model = fitted(frame)
    feeds = usual_feeds(model)
    assert {name: (array.shape, array.dtype) for name, array in feeds.items()} == {
        name: ((1, 1), array.dtype) for name, array in ol.Task.from_frame(frame, "y").feeds().items()
    }
    assert np.isfinite(model.predict_feeds(feeds)["prediction"]).all()
    assert feeds["price"].item() not in frame["price"].tolist()


def test_a_file_that_does_not_tell_has_made_up_values():
    model = Model(small_model(schema_of(PRICE)))
    assert usual_feeds(model)["x"].item() == 1.0


def test_examples_of_clients_have_such_a_row_and_an_empty_one(frame, tmp_path):
    model = fitted(frame)
    model.export("python", tmp_path / "client")
    example = (tmp_path / "client" / "example.py").read_text("utf-8")
    assert f'"year": {usual_feeds(model)["year"].item()},' in example
    assert '"year": None,' in example
