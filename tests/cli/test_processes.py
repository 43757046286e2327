"""The command line in several processes that train together."""

import pytest

from onnxlearn_cli import run as border
from onnxlearn_cli.run import run


@pytest.fixture
def second(monkeypatch):
    """The second process of a machine, which lets the first one speak for no time."""
    for name, value in {"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    waited = []
    monkeypatch.setattr(border.time, "sleep", waited.append)
    return waited


@pytest.mark.parametrize("command", [["measures"], ["resample", "example:penguins", "--target", "species"]])
def test_other_commands_are_refused_in_several_processes(second, capsys, command):
    assert run(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"onnxlearn (process 1): error: onnxlearn {command[0]} cannot run in 2 processes that train each")
    assert second == [border.PATIENCE]


def test_an_environment_that_cannot_be_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(["fit", "example:penguins", "--target", "species"]) == 2
    assert capsys.readouterr().err.startswith("onnxlearn: error: the environment says RANK=5 and WORLD_SIZE=2")


def test_an_interrupted_process_is_silent_beside_the_first(second, capsys):
    border._tell(border.INTERRUPTED, "interrupted; nothing was written")
    border._tell(border.OUR_FAULT, "error: a fault of onnxlearn")
    assert capsys.readouterr().err == "onnxlearn (process 1): error: a fault of onnxlearn\n"
    assert second == []
