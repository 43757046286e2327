"""What tests of networks for images share."""

import importlib
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parent / "packages"
STAND_INS = ("torchvision", "timm")


@pytest.fixture
def stand_ins(monkeypatch):
    """Packages of a few lines with the calls of torchvision and timm, whether these are installed or not."""
    for name in [each for each in sys.modules if each.partition(".")[0] in STAND_INS]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(PACKAGES))
    importlib.invalidate_caches()
    yield
    for name in [each for each in sys.modules if each.partition(".")[0] in STAND_INS]:
        del sys.modules[name]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty place for what torch's hub has on this machine."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder
