"""What results know of their design, in memory and from folders."""

from __future__ import annotations

import pytest

import onnxlearn as ol
from onnxlearn.errors import DataError

QUICK = ol.learner("linear", max_epochs=2, seed=0)


def test_results_know_what_was_compared(tmp_path) -> None:
    task = ol.example_task("penguins")
    here = ol.benchmark(task, {"quick": QUICK}, ol.Holdout(), ["logloss", "acc"], store=tmp_path / "r", progress=False)
    memory = ol.benchmark(task, {"quick": QUICK}, ol.Holdout(), ["logloss", "acc"], progress=False)
    folder = ol.BenchmarkResult.load(tmp_path / "r")
    for result in (here, memory, folder, folder.filter(), folder.combine(here), folder.resample_result()):
        assert result.design["given"] == {"quick": {"max_epochs": 2, "seed": 0}}
        about = result.design["tasks"]["penguins"]
        assert (about["n_rows"], about["features"]) == (344, {"categorical": 2, "numeric": 5})
        assert result.design["splits"]["penguins/Holdout(ratio=0.6666666666666666)"]["resampling"]["name"] == "holdout"
        assert result.measures == ("logloss", "acc")
        assert "onnxruntime" in result.records[0].versions


def test_a_default_that_is_given_is_no_other_design(tmp_path) -> None:
    task, default = ol.example_task("iris"), QUICK.values["lr"]
    first = ol.resample(task, QUICK, ol.Holdout(), "acc", store=tmp_path / "r")
    again = ol.resample(task, QUICK.replace(lr=default), ol.Holdout(), "acc", store=tmp_path / "r")
    assert again.records == first.records


def test_statistics_of_a_measure_with_a_parameter() -> None:
    result = ol.resample(ol.example_task("iris"), QUICK, ol.CV(2), ["fbeta_2", "ece_10"])
    assert (result.statistics("fbeta_2").minimize, result.statistics("ece_10").minimize) == (False, True)
    assert result.find_measure("fbeta_2").name == "fbeta_2"
    assert result.find_measure("of_nobody") is None


def test_predictions_are_read_without_opening_models(tmp_path) -> None:
    ol.resample(ol.example_task("iris"), QUICK, ol.Holdout(), "acc", store=tmp_path / "r", models=True)
    next(tmp_path.glob("r/runs/*/*/*/*.onnx")).write_bytes(b"damaged")
    result = ol.BenchmarkResult.load(tmp_path / "r").resample_result()
    assert len(result.predictions[0]) == 50
    with pytest.raises(DataError, match="is not the file that was scored"):
        assert result.models
