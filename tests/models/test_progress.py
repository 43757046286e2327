"""The progress bar: on stderr where it is wanted, otherwise nothing at all."""

import subprocess
import sys

import pytest

from onnxlearn_models.training.progress import Epoch, describe, progress_bar

EPOCH = Epoch(number=2, train_loss=0.5, valid_loss=0.25, lr=1e-3)


@pytest.mark.parametrize("show", [None, False])
def test_quiet_without_a_terminal(show, capsys):
    with progress_bar(3, show=show) as on_epoch:
        on_epoch(EPOCH)
    assert capsys.readouterr() == ("", "")


def test_shown_on_stderr(capsys):
    with progress_bar(3, show=True) as on_epoch:
        on_epoch(EPOCH)
    out, err = capsys.readouterr()
    assert not out
    assert "2/3" in err
    assert "train loss 0.5000, validation loss 0.2500" in err


def test_description_without_validation():
    assert describe(Epoch(number=1, train_loss=0.5, valid_loss=None, lr=1.0)) == "train loss 0.5000"


def test_a_quiet_bar_imports_nothing():
    code = """
import sys
from onnxlearn_models.training.progress import progress_bar
with progress_bar(1, show=False):
    assert "rich" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
