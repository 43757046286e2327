"""A learner in a package of its own: installed for real, found by name, held to the same contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PLUGIN = Path(__file__).parents[1] / "plugins" / "onnxlearn-demo"
ROOT = Path(__file__).parents[2]

USE = """
import sys
import onnxlearn as ol
from onnxlearn.registry import learner_infos
assert "torch" not in sys.modules, "listing learners imports torch"
assert learner_infos()["demo_linear"].source == "every textbook"
from onnxlearn.testing import check_effects, check_learner
check_learner(ol.learner("demo_linear", max_epochs=2, bias=False))
from onnxlearn_models.training.callback import Callback
class Reversed(Callback):
    def after_backward(self, ctx):
        ctx.optimizer.flat.grads.neg_()
from onnxlearn_models.training.start import StartWeights
class Larger(StartWeights):
    def fitting(self, module):
        return {name: parameter.detach() + 1 for name, parameter in module.named_parameters()}
small = ol.learner("demo_linear", max_epochs=2, batch_size=24, datetime_parts=["elapsed"])
check_effects(small, others={"callbacks": [(Reversed(),)], "start_from": [Larger({}, "weights")]})
print("kept the contract")
"""


def test_an_installed_plugin_keeps_the_contract(tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path), str(PLUGIN)]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    path = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "models", ROOT / "cli")))
    done = subprocess.run([sys.executable, "-c", USE], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.stdout == "kept the contract\n", done.stderr


# Entry points of a package and what is said of them.
BROKEN = {
    "lost": ("nopkg:INFO", "nopkg:INFO fails with ModuleNotFoundError: No module named 'nopkg'"),
    "nothing": ("broken_package:NOTHING", "broken_package:NOTHING fails with AttributeError: .*NOTHING.*"),
    "klass": ("broken_package:Learner", "broken_package:Learner has to be a LearnerInfo, not <class .*>"),
    "shaky": ("shaky_package:INFO", "shaky_package:INFO fails with ZeroDivisionError: division by zero"),
}


def broken_package(folder: Path) -> dict[str, str]:
    """Install a package whose entry points lead nowhere; the environment that finds it."""
    (folder / "broken_package.py").write_text("from onnxlearn.learner import Learner\n")
    (folder / "shaky_package.py").write_text("1 / 0\n")
    info = folder / "onnxlearn_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxlearn-broken\nVersion: 1.0\n")
    points = [f"{name} = {place}" for name, (place, _) in BROKEN.items()]
    twice = ["featureless = broken_package:FEATURELESS"]
    (info / "entry_points.txt").write_text("\n".join(["[onnxlearn.learners]", *points, *twice]) + "\n")
    path = os.pathsep.join(map(str, (folder, ROOT, ROOT / "models", ROOT / "cli")))
    return os.environ | {"PYTHONPATH": path}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_a_broken_plugin_breaks_itself_alone(tmp_path: Path) -> None:
    environment = broken_package(tmp_path)
    listed = run(environment, "-m", "onnxlearn_cli", "learners")
    assert listed.returncode == 0, listed.stderr
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert "mlp" in names
    assert not {"featureless", *BROKEN} & set(names)
    doctor = run(environment, "-m", "onnxlearn_cli", "doctor").stdout
    for name, (_, why) in BROKEN.items():
        line = f"learner '{name}' cannot be had: {why}; mend or uninstall the package onnxlearn-broken"
        assert re.search(f"(?m)^onnxlearn: {line}$", listed.stderr), listed.stderr
        assert re.search(f"(?m)^problem +{line}$", doctor), doctor
    assert len(listed.stderr.splitlines()) == len(BROKEN) + 1
    assert "two packages register the learner 'featureless': " in listed.stderr


def test_a_broken_plugin_is_an_error_for_who_asks_for_it(tmp_path: Path) -> None:
    code = """
import onnxlearn as ol
from onnxlearn.errors import OnnxlearnError
ol.learner("mlp")
for name in ("lost", "klass", "featureless"):
    try:
        ol.learner(name)
    except OnnxlearnError as error:
        print(error)
"""
    environment = broken_package(tmp_path)
    done = run(environment, "-c", code)
    assert done.returncode == 0, done.stderr
    lost, klass, twice = done.stdout.splitlines()
    assert "package onnxlearn-broken" in lost
    assert "has to be a LearnerInfo" in klass
    assert re.fullmatch(
        "two packages register the learner 'featureless': .*:FEATURELESS and .*:FEATURELESS; uninstall .*", twice
    )
    fitted = run(environment, "-m", "onnxlearn_cli", "fit", "t.csv", "--target", "y", "--learner", "shaky")
    assert (fitted.returncode, fitted.stdout) == (2, "")
