"""A machine that only predicts has the runtime, numpy, pandas and typer, and every command for models works there."""

import subprocess
import sys

import pytest

# What the extras cpu and cli do not bring.
ABSENT = ("torch", "onnx", "onnxscript", "sklearn", "scipy", "pyarrow", "safetensors")
CODE = f"""
import sys
for name in {ABSENT}:
    sys.modules[name] = None
from onnxlearn_cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A model with everything that is calibrated."""
    from onnxlearn_cli import main

    path = tmp_path_factory.mktemp("calibrated") / "island.onnx"
    settings = ("max_epochs=2", "coverage=0.8", "temperature=true")
    options = [option for setting in settings for option in ("--set", setting)]
    assert main(["fit", "example:penguins", "--target", "island", *options, "--test", "0.2", "--out", str(path)]) == 0
    return path


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("predict {} example:penguins", "prob_Biscoe"),
        ("evaluate {} example:penguins", "logloss"),
        ("inspect {}", "before the temperature"),
        ("measures", "logloss"),
        ("learners", "realmlp"),
        ("doctor", "onnxruntime"),
    ],
)
def test_commands_for_models_need_the_runtime_alone(path, command, expected):
    arguments = [part.format(path) for part in command.split()]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments], text=True, capture_output=True, check=False, cwd=path.parent
    )
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
