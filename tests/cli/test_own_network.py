"""``--learner package.module:name``: networks of the user's own."""

# Messages read best one a line.
# ruff: noqa: E501

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import onnxlearn as ol

NETWORKS = """
import torch
from torch import nn

LIMIT = 3


class Net(nn.Module):
    def __init__(self, n_num, n_outputs, width: int = 16, widths=(4, 5), act="tanh", slope=None, bias=True):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_num, width), nn.Tanh(), nn.Linear(width, n_outputs, bias=bias))

    def forward(self, num):
        return self.layers(num)


def make(schema, width, depth: int = 1):
    return Net(schema.ingress.n_num, schema.n_outputs, width)


network = Net(3, 2)
"""
FIT = ["fit", "example:penguins", "--target", "species", "--set", "max_epochs=2", "--out", "m.onnx"]


@pytest.fixture
def networks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package of networks, in which the command is called."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    package = folder / "ournets"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(NETWORKS)
    (package / "old.py").write_text("import torch\nimport nolonger\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "ournets"]:
        monkeypatch.delitem(sys.modules, name)
    return package


def test_a_network_of_the_working_directory(command, networks: Path) -> None:
    done = command(
        *FIT, "--learner", "ournets.nets:Net", "--set", "width=5", "--set", "bias=false", "--set", "slope=0.5", "--seed", 3
    )
    assert done.code == 0, done.err
    params = ol.load("m.onnx").metadata["learner"]["params"]
    assert {name: params[name] for name in ("module", "width", "bias", "slope", "widths", "seed", "max_epochs")} == {
        "module": "ournets.nets:Net", "width": 5, "bias": False, "slope": 0.5, "widths": [4, 5], "seed": 3, "max_epochs": 2,
    }  # fmt: skip
    assert command("predict", "m.onnx", "example:penguins", "--out", "p.csv").code == 0
    assert command("inspect", "m.onnx").code == 0


def test_a_function_of_the_working_directory(command, networks: Path) -> None:
    assert command(*FIT, "--learner", "ournets.nets:make", "--set", "width=4").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--learner", "module", "--set", "module=ournets.nets:Net"],
        ["--learner", "bagging", "--set", "n_folds=2", "--set", "base=ournets.nets:Net"],
    ],
)
def test_a_network_as_a_setting_brings_its_parameters(command, networks: Path, arguments: list[str]) -> None:
    done = command(*FIT, *arguments, "--set", "width=5", "--seed", 2)
    assert done.code == 0, done.err
    params = ol.load("m.onnx").metadata["learner"]["params"]
    assert (params["width"], params["seed"]) == (5, 2)


def test_its_parameters_are_listed(command, networks: Path) -> None:
    lines = command("learners", "ournets.nets:make").out.splitlines()
    assert "width = <required>" in lines
    assert lines[lines.index("depth = 1") + 1].strip() == "argument of make (int)"
    lines = command("learners", "ournets.nets:Net").out.splitlines()
    assert {"widths = 4,5", "act = tanh", "slope = None", "cat_encoding = onehot"} <= set(lines)


def test_a_learner_class_is_found_too(command, networks: Path) -> None:
    done = command(*FIT, "--learner", "onnxlearn_models.mlp:MLP", "--set", "d_block=8")
    assert done.code == 0, done.err
    assert ol.load("m.onnx").metadata["learner"]["name"] == "mlp"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--learner", "ournet.nets:Net"], "there is no module 'ournet': it has to be installed, or in the folder that Python is called in. Did you mean 'ournets'?"),
        (["--learner", "ournets.net:Net"], "Did you mean 'ournets.nets'?"),
        (["--learner", "ournets.nets:Nett"], "module 'ournets.nets' has no 'Nett'; it has 'Net', 'make', 'network'. Did you mean 'Net'?"),
        (["--learner", "ournets.nets:LIMIT"], "ournets.nets:LIMIT is a value of type int"),
        (["--learner", "ournets/nets.py:Net"], "not 'ournets/nets.py:Net', here perhaps ournets.nets:Net"),
        (["--learner", "ournets.old:Net"], "module 'ournets.old' cannot be imported: ModuleNotFoundError: No module named 'nolonger' (old.py, line 2: import nolonger)"),
        (["--learner", "ournets.nets:make"], "make needs the parameter 'width', which has no default"),
        (["--learner", "ournets.nets:Net", "--set", "widht=3"], "learner 'module' has no parameter 'widht'. Did you mean 'width'?"),
        (["--learner", "ournets.nets:Net", "--set", "width=x"], "width has to be int, not 'x' (argument of Net)"),
        (["--learner", "ournets.nets:network"], "Net.forward fails on two rows: RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (["--learner", "module"], "on the command line --learner package.module:name, such as --learner nets:MyNetwork for a class in nets.py"),
    ],
)  # fmt: skip
def test_what_is_refused(command, networks: Path, arguments: list[str], line: str) -> None:
    done = command(*FIT, *arguments)
    assert line in done.error
    assert done.code == 2
    assert not Path("m.onnx").exists()


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("nets", "nets:Block or nets:Net"),
        ("nets.py", "nets:Block or nets:Net"),
        ("nets.Net", "nets:Net"),
        ("bare", "bare:NAME"),
    ],
)
def test_a_file_of_networks_instead_of_a_network(command, folder: Path, name: str, called: str) -> None:
    Path("nets.py").write_text("class Block: ...\n\nclass Net:\n    class Inner: ...\n")
    Path("bare.py").write_text("")
    assert command(*FIT, "--learner", name).error == f"there is no learner {name!r}; a network of your own is called {called}"
    assert "Did you mean 'mlp'" in command(*FIT, "--learner", "mpl").error


def test_the_networks_own_traceback_is_there_for_the_asking(command, networks: Path) -> None:
    done = command(*FIT, "--learner", "ournets.old:Net", "--traceback")
    assert "import nolonger\n" in done.err


def test_it_is_wrong_before_the_table_is(command, networks: Path) -> None:
    done = command("fit", "nothing.csv", "--target", "y", "--learner", "ournets.nets:Nett")
    assert "has no 'Nett'" in done.error
