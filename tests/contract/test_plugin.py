"""A learner in a package of its own: installed for real, found by name, held to the same contract."""

from __future__ import annotations

import os
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
from onnxlearn.testing import check_learner
check_learner(ol.learner("demo_linear", max_epochs=2, bias=False))
print("kept the contract")
"""


def test_an_installed_plugin_keeps_the_contract(tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path), str(PLUGIN)]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    path = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "models", ROOT / "cli")))
    done = subprocess.run([sys.executable, "-c", USE], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.stdout == "kept the contract\n", done.stderr
