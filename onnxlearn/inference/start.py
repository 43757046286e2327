"""How long a fresh process takes to load a model, and how much memory."""

from __future__ import annotations

import base64
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxlearn.errors import ProviderError
from onnxlearn.images.feed import ImageFeed
from onnxlearn.wire.feeds import Feeds

TIMES = 3
IMPORTS = ("onnxlearn.model", "onnxruntime")
_CODE = "import time; start = time.perf_counter(); from onnxlearn.inference.child import report; report(start, *{names!r})"


@dataclass(frozen=True, kw_only=True)
class Start:
    """A fresh process, median of three: ``what`` it loads, a file or a package.

    ``import_s``: seconds to import what is needed; ``load_s``: to open the file; ``first_ms``: milliseconds of the first row;
    ``peak_mb``: the most memory, after up to 1,000 rows, of images 64. ``None``: it was not done, or the system does not tell.
    """

    what: str
    import_s: float
    load_s: float | None
    first_ms: float | None
    peak_mb: float | None


def start_all(files: Mapping[str, tuple[Path, Feeds]], packages: Sequence[str], provider: str) -> list[Start]:
    """Start every file and every package in turn, three times. Raises: ProviderError where a process fails."""
    orders: dict[str, tuple[tuple[str, ...], str]] = {}
    for name, (path, feeds) in files.items():
        rows = {column: _told(feed) for column, feed in feeds.items()}
        orders[name] = (IMPORTS, json.dumps({"path": str(path), "provider": provider, "rows": rows}))
    orders |= {name: ((name,), "") for name in packages}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in orders}
    for _ in range(TIMES):
        for name, (imports, order) in orders.items():
            found[name].append(_run(imports, order))
    return [Start(what=name, **{key: _median([run.get(key) for run in runs]) for key in _KEYS}) for name, runs in found.items()]


def _told(feed: Any) -> list[Any]:
    """The cells of a feed; of an image its shape and its pixels."""
    if isinstance(feed, ImageFeed):
        return [[image.shape, base64.b64encode(image.tobytes()).decode()] for image in feed.read().images]
    found: list[Any] = feed[:, 0].tolist()
    return found


_KEYS = ("import_s", "load_s", "first_ms", "peak_mb")


def _median(values: Sequence[float | None]) -> Any:
    present = [value for value in values if value is not None]
    return statistics.median(present) if present else None


def _run(imports: tuple[str, ...], order: str) -> dict[str, Any]:
    # Packages are found where this process finds them.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    # Without -P, files of the working folder would stand in for modules of their names.
    command = [sys.executable, "-P", "-c", _CODE.format(names=imports)]
    done = subprocess.run(command, input=order, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ProviderError(
            f"a fresh process could not load and run the model: {last}; leave it out with starts=False (--no-starts)"
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result
