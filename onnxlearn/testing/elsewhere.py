"""Fits are the same in another process, as a check that raises AssertionError."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Sequence
from pathlib import Path

from onnxlearn.learner import Learner
from onnxlearn.task import Task
from onnxlearn.testing.parity import expect
from onnxlearn.testing.torchfree import run_script

# Runs in the other process: the learner's fits, beside each other in the folder.
_SCRIPT = """
import pickle, pathlib, sys
folder = pathlib.Path(sys.argv[1])
learner, tasks = pickle.loads((folder / "fits.pickle").read_bytes())
for i, (train, test) in enumerate(tasks):
    (folder / f"{i:04}.onnx").write_bytes(learner.fit(train, test=test, progress=False).to_bytes())
"""

_FAILS = "the learner cannot be used in another process"


def check_elsewhere(learner: Learner, fits: Sequence[tuple[Task, Task, bytes]]) -> None:
    """The learner gives the same files in a process of its own, in which text hashes to other numbers.

    ``fits``: tasks to train and to test on, and the file that the learner made of them here.
    """
    with tempfile.TemporaryDirectory() as folder:
        tasks = [(train, test) for train, test, _ in fits]
        try:
            (Path(folder) / "fits.pickle").write_bytes(pickle.dumps((learner, tasks)))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise AssertionError(f"{_FAILS}: {error}") from error
        other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
        run_script(_SCRIPT, folder, _FAILS, PYTHONHASHSEED=other)
        for i, (train, _, here) in enumerate(fits):
            same = (Path(folder) / f"{i:04}.onnx").read_bytes() == here
            expect(same, f"task {train.schema.name!r}: a fit in another process gives other bytes")
