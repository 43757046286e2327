"""The doctor's report on this very environment."""

import subprocess
import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from onnxlearn.card import card_lines
from onnxlearn.doctor import diagnose, report_lines, runtime_wheels, try_provider


def test_report_of_this_environment():
    report = diagnose()
    assert report["packages"]["numpy"] == np.__version__
    assert report["packages"]["pandas"] == pd.__version__
    assert report["providers"]["CPUExecutionProvider"] == "works"
    assert set(report["providers"]) == set(onnxruntime.get_available_providers())
    lines = report_lines(report)
    assert all("\n" not in line for line in lines)
    assert any(line.startswith("packages ") for line in lines)
    assert (lines[-1] == "no problems found") is (report["problems"] == [])


def test_a_provider_that_is_not_there_does_not_work():
    # ONNX Runtime warns of such names and runs on the CPU instead, which proves nothing.
    with pytest.warns(UserWarning, match="RocketExecutionProvider"):
        assert try_provider("RocketExecutionProvider").startswith("does not work: ")
    assert try_provider("AzureExecutionProvider") == "not tried: it calls a web service"


def test_missing_packages_are_told_with_the_command(tmp_path):
    code = (
        "import importlib.metadata as m\n"
        "keep = m.version\n"
        "import onnxlearn.doctor as d\n"
        "def without(name):\n"
        "    if name in ('torch', 'pyarrow'): raise m.PackageNotFoundError(name)\n"
        "    return keep(name)\n"
        "d.version = without\n"
        "print('\\n'.join(d.report_lines(d.diagnose())))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "missing     training: pip install 'onnxlearn[train]'" in result.stdout
    assert "missing     Parquet, Feather and Arrow files: pip install 'onnxlearn[files]'" in result.stdout
    assert "eval" not in result.stdout


def test_two_wheels_of_the_runtime_are_a_problem(tmp_path):
    folder = tmp_path / "onnxruntime_gpu-1.31.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime-gpu\nVersion: 1.31.1\n")
    code = (
        f"import sys; sys.path.append({str(tmp_path)!r})\n"
        "from onnxlearn.doctor import diagnose, report_lines\n"
        "print(*report_lines(diagnose()), sep='\\n')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "problem     onnxruntime and onnxruntime-gpu overwrite each other's files: pip uninstall -y" in result.stdout
    assert "onnxruntime-gpu  1.31.1" in result.stdout
    assert runtime_wheels() == [name for name in runtime_wheels() if name.startswith("onnxruntime")]


def test_without_the_runtime_the_doctor_still_reports():
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from onnxlearn.doctor import diagnose, report_lines\n"
        "print(*report_lines(diagnose()), sep='\\n')"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "problem     running a model needs the package onnxruntime: pip install 'onnxlearn[cpu]'" in result.stdout


def test_card_of_a_wide_model_is_short():
    from small_models import PRICE, document_of, schema_of

    from onnxlearn.card import describe
    from onnxlearn.schema import Column

    features = tuple(Column(name=f"n{i}", kind="numeric", dtype="float64") for i in range(200))
    document = document_of(schema_of(PRICE, features), notes=["a note"], parity={"max_difference": 2e-7, "n_rows": 9})
    lines = card_lines(
        describe(document, n_bytes=2_500_000, outputs=[{"name": "prediction", "type": "DOUBLE", "shape": ["N", 1]}])
    )
    assert lines[0] == "small: model of learner 'handmade', 2.50 MB"
    assert len(lines) < 50
    assert "             and 170 more (--json lists all)" in lines
    checked = "the file and the network that it came from differ by at most 2e-07 over 9 rows, odd ones among them"
    assert f"checked    {checked}" in lines
    assert lines[-1] == "notes      a note"
