"""Dask, Ray Data and Spark on this machine: a model is sent to their processes and predicts what it predicts here."""

import os
import sys

import numpy as np
import pandas as pd
import pytest
from small_models import FEATURES, SPECIES, schema_of, small_model

from onnxlearn.errors import DataError
from onnxlearn.model import Model

# What they say of their own use of other libraries is not about the model.
pytestmark = [pytest.mark.consumers, pytest.mark.filterwarnings("default")]

N = 200


@pytest.fixture(scope="module")
def model():
    return Model(small_model(schema_of(SPECIES, FEATURES)))


@pytest.fixture(scope="module", autouse=True)
def importable():
    """Worker processes find onnxlearn where this one does."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    yield
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def frame():
    return pd.DataFrame(
        {
            "x": [None if i % 7 == 0 else i / 8 for i in range(N)],
            "small": np.arange(N, dtype=np.float32),
            "city": [(None, "Bonn", "Köln", "Mond 🌙")[i % 4] for i in range(N)],
            "zone": pd.array([None if i % 5 == 0 else i % 3 for i in range(N)], dtype="Int64"),
            "flag": pd.array([(None, True, False)[i % 3] for i in range(N)], dtype="boolean"),
            "day": [None if i % 6 == 0 else pd.Timestamp(2000, 1, 1 + i % 28) for i in range(N)],
        }
    )


def assert_same(found, expected):
    found = found.reset_index(drop=True)
    assert found.columns.tolist() == expected.columns.tolist()
    assert found["label"].tolist() == expected["label"].tolist()
    numbers = expected.columns.drop("label")
    np.testing.assert_array_equal(found[numbers].to_numpy(np.float32), expected[numbers].to_numpy(np.float32))


def test_dask(model, frame):
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    expected = model.predict(frame).to_frame()
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        parts = dd.from_pandas(frame, npartitions=5)
        predicted = parts.map_partitions(lambda part: model.predict(part).to_frame(), meta=expected.iloc[:0])
        assert_same(predicted.compute(), expected)
        with pytest.raises(DataError, match=r"a DataFrame has no rows yet: give it as table.compute\(\)"):
            model.predict(parts)


def test_ray(model, frame):
    import ray

    expected = model.predict(frame).to_frame()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        parts = ray.data.from_pandas([frame.iloc[:90], frame.iloc[90:]])
        predicted = parts.map_batches(lambda batch: model.predict(batch).to_frame(), batch_format="pandas", batch_size=64)
        assert_same(predicted.to_pandas(), expected)
        arrow = parts.map_batches(lambda batch: model.predict(batch).to_frame(), batch_format="pyarrow", batch_size=64)
        assert_same(arrow.to_pandas(), expected)
    finally:
        ray.shutdown()


def test_spark(model, frame):
    from pyspark.sql import SparkSession

    expected = model.predict(frame).to_frame()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    days = pd.Series([None if pd.isna(day) else day.to_pydatetime() for day in frame["day"]], dtype=object)
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        # Spark's frames have their rows in an order only where they are one part.
        table = spark.createDataFrame(
            list(frame.astype(object).where(frame.notna(), None).assign(day=days).itertuples(index=False, name=None)),
            schema="x double, small float, city string, zone long, flag boolean, day timestamp_ntz",
        ).coalesce(1)
        schema = ", ".join(f"`{name}` {'string' if name == 'label' else 'float'}" for name in model.columns)
        predicted = table.mapInPandas(lambda parts: (model.predict(part).to_frame() for part in parts), schema=schema)
        assert_same(predicted.toPandas(), expected)
        # Its own frames speak Arrow, too.
        assert_same(model.predict(table).to_frame(), expected)
    finally:
        spark.stop()
