"""Fits are the same in another process, as a check that raises AssertionError."""

from __future__ import annotations

import json
import os
import pickle
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxlearn.learner import Learner
from onnxlearn.task import Task
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
            there = (Path(folder) / f"{i:04}.onnx").read_bytes()
            if there != here:
                where = _difference(here, there)
                raise AssertionError(f"task {train.schema.name!r}: a fit in another process gives other bytes, in {where}")


def _flat(document: Any, place: str = "") -> dict[str, Any]:
    """The values of a document of JSON by their places."""
    if not isinstance(document, dict | list):
        return {place: document}
    items = document.items() if isinstance(document, dict) else enumerate(document)
    return {inner: value for key, each in items for inner, value in _flat(each, f"{place}/{key}").items()}


def _difference(first: bytes, second: bytes) -> str:
    """Where two files differ."""
    import onnx

    one, other = (onnx.load_from_string(data) for data in (first, second))
    parts = {
        f"the {what} {a.name or i!r}": (a, b)
        for what in ("node", "initializer", "input", "output")
        for i, (a, b) in enumerate(zip(getattr(one.graph, what), getattr(other.graph, what), strict=False))
    }
    for prop, others in zip(one.metadata_props, other.metadata_props, strict=False):
        told, read = json.loads(prop.value), json.loads(others.value)
        parts |= {f"the metadata {place}": (value, _flat(read).get(place)) for place, value in _flat(told).items()}
    return next((f"{where}, {a!r} and {b!r}"[:300] for where, (a, b) in parts.items() if a != b), "what it has besides")
