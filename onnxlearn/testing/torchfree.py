"""Model files say and give the same in a process that cannot import torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlearn.images.feed import ImageFeed
from onnxlearn.model import Model
from onnxlearn.testing.parity import expect
from onnxlearn.wire.feeds import Feeds

# Runs in the other process: every file of the folder on its rows, what it says and gives beside it.
_SCRIPT = """
import sys
sys.modules["torch"] = None
import json, pathlib
import numpy as np
import onnxlearn as ol
from onnxlearn.images.feed import ImageFeed
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    model = ol.load(path)
    path.with_suffix(".says.json").write_text(json.dumps(model.metadata))
    names = json.loads(path.with_suffix(".json").read_text())
    with np.load(path.with_suffix(".npz")) as arrays:
        feeds = {name: [arrays[f"a{i}.{row}"] for row in range(n_images)] if n_images else arrays[f"a{i}"]
                 for i, (name, n_images) in enumerate(names)}
    feeds = {name: ImageFeed.of(feed, model.schema.column(name)) if isinstance(feed, list)
             else feed.astype(object) if feed.dtype.kind == "U" else feed for name, feed in feeds.items()}
    outputs = model.predict_feeds(feeds)
    np.savez(path.with_suffix(".out.npz"), **{k: v.astype(str) if v.dtype == object else v for k, v in outputs.items()})
"""


def check_without_torch(models: Sequence[tuple[Model, Feeds]]) -> None:
    """Each model's file, loaded where torch cannot be imported, says and gives what the model says and gives here."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [_write(Path(folder) / f"{i:04}.onnx", model, feeds) for i, (model, feeds) in enumerate(models)]
        run_script(_SCRIPT, folder, "the file cannot be used without torch")
        for path, (model, feeds) in zip(paths, models, strict=True):
            says = json.loads(path.with_suffix(".says.json").read_text())
            expect(says == model.metadata, "the metadata is another one in another process")
            with np.load(path.with_suffix(".out.npz")) as found:
                _compare(dict(found), model.predict_feeds(feeds))


def run_script(script: str, folder: str, failing: str, **environment: str) -> None:
    """Run Python code on a folder in another process, which finds this package where this one found it.

    Raises: AssertionError with ``failing`` and the error where the code ends with one.
    """
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", script, folder], env={**os.environ, "PYTHONPATH": path, **environment},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    expect(done.returncode == 0, f"{failing}: {done.stderr.strip().rpartition(chr(10))[2]}")


def _write(path: Path, model: Model, feeds: Feeds) -> Path:
    model.save(path)
    # The names go beside the arrays: a column may be called like a file.
    n_images = {name: len(feed) if isinstance(feed, ImageFeed) else 0 for name, feed in feeds.items()}
    path.with_suffix(".json").write_text(json.dumps(list(n_images.items())))
    arrays: dict[str, Any] = {}
    for i, feed in enumerate(feeds.values()):
        if isinstance(feed, ImageFeed):
            arrays |= {f"a{i}.{row}": image for row, image in enumerate(feed.read().images)}
        else:
            arrays[f"a{i}"] = _plain(feed)
    np.savez(path.with_suffix(".npz"), **arrays)
    return path


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Text in a type that needs no pickle."""
    return array.astype(str) if array.dtype == object else array


def _compare(found: dict[str, np.ndarray[Any, Any]], expected: dict[str, np.ndarray[Any, Any]]) -> None:
    expect(found.keys() == expected.keys(), f"without torch there are the outputs {sorted(found)}, not {sorted(expected)}")
    for name, array in expected.items():
        expect(np.array_equal(found[name], _plain(array)), f"{name} is another one without torch")
