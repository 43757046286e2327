"""Which of several processes this one is, and what several cannot do."""

import pytest

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.processes import Place, place
from onnxlearn.testing import example_tasks


def set_places(monkeypatch, **places):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in places.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, Place()),
        ({"RANK": 3}, Place()),
        ({"WORLD_SIZE": 3}, Place()),
        ({"RANK": 0, "WORLD_SIZE": 1}, Place()),
        ({"RANK": 1, "WORLD_SIZE": 2}, Place(rank=1, n_processes=2, local_rank=1, n_local=2)),
        (
            {"RANK": 3, "WORLD_SIZE": 4, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2},
            Place(rank=3, n_processes=4, local_rank=1, n_local=2),
        ),
    ],
)
def test_the_environment_says_which_process_this_is(monkeypatch, environment, found):
    set_places(monkeypatch, **environment)
    assert place() == found


@pytest.mark.parametrize("rank", [2, -1, "a"])
def test_an_environment_that_cannot_be_is_refused(monkeypatch, rank):
    set_places(monkeypatch, RANK=rank, WORLD_SIZE=2)
    with pytest.raises(ParameterError, match="let torchrun set them, or unset both"):
        place()


@pytest.mark.parametrize("options", [{"n_jobs": 2}, {"store": "folder"}, {"time_limit": 5.0}])
def test_processes_that_train_together_share_no_iterations(monkeypatch, options):
    set_places(monkeypatch, RANK=0, WORLD_SIZE=2)
    task = example_tasks(60)["classes"]
    with pytest.raises(ParameterError, match="a benchmark with n_jobs, store or time_limit cannot run in 2 processes"):
        ol.resample(task, ol.learner("featureless"), ol.CV(folds=2), **options)
