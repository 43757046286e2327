"""What a fresh process takes to load a model and predict; imported there first, so that nothing heavy is loaded on the way."""

from __future__ import annotations

import base64
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def report(start: float, *modules: str) -> None:
    """Import, load and predict as standard input says, and print seconds and megabytes as JSON.

    ``start``: the clock when the process began; ``modules``: what to import. Without a model on standard input that is all.
    """
    for name in modules:
        importlib.import_module(name)
    times = {"import_s": time.perf_counter() - start}
    text = sys.stdin.read()
    if text:
        times |= _load_and_predict(json.loads(text))
    sys.stdout.write(json.dumps({**times, "peak_mb": peak_megabytes()}))


def _load_and_predict(order: dict[str, Any]) -> dict[str, float]:
    from onnxlearn.model import load

    start = time.perf_counter()
    model = load(order["path"], provider=order["provider"])
    loaded = time.perf_counter()
    feeds = {column.name: _feed(order["rows"][column.name], column) for column in model.schema.features}
    ready = time.perf_counter()
    model.predict_feeds({name: array[:1] for name, array in feeds.items()})
    first = time.perf_counter() - ready
    model.predict_feeds(feeds)
    return {"load_s": loaded - start, "first_ms": 1000 * first}


def _feed(cells: list[Any], column: Any) -> Any:
    import numpy as np

    from onnxlearn.images.feed import ImageFeed
    from onnxlearn.wire.values import wire_array

    if column.kind != "image":
        return wire_array(cells, column)
    return ImageFeed.of([np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape) for shape, text in cells], column)


def peak_megabytes() -> float | None:
    """The most memory that this process had so far; ``None`` where the system does not tell."""
    try:
        # Linux hands the peak of the parent down in what getrusage gives.
        with Path("/proc/self/status").open(encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 / 1e6 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    # Bytes on macOS, kilobytes elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
