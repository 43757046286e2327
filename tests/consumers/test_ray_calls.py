"""Searches and benchmarks on Ray, whose processes may die."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import joblib
import pytest

import onnxlearn as ol
from onnxlearn.learner import Learner
from onnxlearn.params import param

# What Ray says of its own use of other libraries is not about calls.
pytestmark = [pytest.mark.consumers, pytest.mark.filterwarnings("default")]


@dataclass(frozen=True, kw_only=True)
class NappingConfig:
    """How long a fit takes, and where it notes that it began."""

    nap: float = param(0.1, "seconds", low=0)
    folder: str = param("", "of notes")
    dies: bool = param(False, "whether the first fit of all takes its process along")


class Napping(Learner):
    """Takes a moment to fit ``featureless``."""

    name = "napping"
    config_types = (NappingConfig,)

    def fit(self, task, **options):
        """Note, wait, and fit."""
        folder = Path(self.values["folder"])
        is_first = not any(folder.iterdir())
        (folder / str(time.time_ns())).write_text("")
        if is_first and self.values["dies"]:
            os._exit(3)
        time.sleep(self.values["nap"])
        return ol.learner("featureless").fit(task, progress=False)


@pytest.fixture(scope="module", autouse=True)
def _on_ray() -> Iterator[None]:
    """A cluster of two cores, whose processes find onnxlearn where this one does, and these tests nowhere."""
    import ray
    from ray.util.joblib import register_ray

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    register_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    with joblib.parallel_config(backend="ray"):
        yield
    ray.shutdown()
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def test_a_search_asks_when_cores_are_free(tmp_path) -> None:
    """Not all at the start: what is told by then counts for what is drawn, and ends the search."""
    learner, space = Napping(folder=str(tmp_path), nap=0.2), {"nap": ol.Range(0.1, 0.3)}
    budget = ol.Budget(trials=50, stagnation=3)
    found = ol.tune(ol.example_task("iris"), learner, space, ol.Holdout(), budget=budget, progress=False)
    # All score the same; two are under way when the fourth has ended.
    assert 4 <= len(found.all) <= 6
    assert len(list(tmp_path.iterdir())) == len(found.all)
    assert [trial.state for trial in found.all] == ["done"] * len(found.all)


def test_a_trial_whose_process_died_is_begun_again(tmp_path) -> None:
    learner, space = Napping(folder=str(tmp_path), dies=True), {"nap": ol.Range(0.1, 0.3)}
    found = ol.tune(ol.example_task("iris"), learner, space, ol.Holdout(), budget=6, progress=False)
    assert [trial.state for trial in found.all] == ["done"] * 6
    assert len(list(tmp_path.iterdir())) == 7


def test_a_benchmark_gives_the_same_table(tmp_path) -> None:
    arguments = (ol.example_task("penguins"), ol.learner("featureless"), ol.CV(4), "acc")
    with joblib.parallel_config(backend="sequential"):
        expected = ol.benchmark(*arguments).scores
    assert ol.benchmark(*arguments).scores["acc"].tolist() == expected["acc"].tolist()
