"""Helpers are imported by their bare names: other packages install a folder called tests."""

import importlib.util
import sys
from pathlib import Path

import pytest

for folder in ("core", "contract", "consumers"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from serve_process import write_models

    folder = tmp_path_factory.mktemp("models")
    return folder, write_models(folder)


@pytest.fixture(scope="module")
def server(models):
    from serve_process import Server

    if importlib.util.find_spec("mlserver") is None:
        pytest.fail("the extra serve is not installed: see docs/testing.md")
    running = Server(models[0], "--workers", 2, "--control", "--max-bytes", 200_000, cwd=models[0])
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()
