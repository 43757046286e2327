"""``ol.bench``: how fast model files run here, for batches of any size, beside their network in torch."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.files.tables import table_name
from onnxlearn.images.rules import ImageRules
from onnxlearn.inference.drawn import drawn_frame
from onnxlearn.inference.report import Bench, Timing
from onnxlearn.inference.rival import ABOUT, find_rival
from onnxlearn.inference.start import start_all
from onnxlearn.inference.timing import ROUNDS, Work, percentile, time_all
from onnxlearn.inspection.rows import read_rows
from onnxlearn.learner import Bare
from onnxlearn.metadata import read_precision
from onnxlearn.model import Model, Table, load
from onnxlearn.progress import progress_steps
from onnxlearn.providers import CPU_PROVIDER, ProviderName, cuda_obstacle
from onnxlearn.session import available_cores, chunk_size
from onnxlearn.wire.feeds import Feeds, taken
from onnxlearn.wire.values import is_integer

BATCH_SIZES = (1, 32, 1000, 10_000)
# Of images, each of which is decoded.
IMAGE_BATCH_SIZES = (1, 32)
# A fresh process is given so many rows: a chunk of most files, so that its memory is that of real work.
START_ROWS = 1000
START_IMAGES = 64


@dataclass(frozen=True, kw_only=True)
class _File:
    """A model file to measure: its rows are the table's, or drawn."""

    name: str
    model: Model
    feeds: Feeds


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """What is timed, and what is known of it before: fields of :class:`Timing`."""

    engine: str
    file: str
    provider: str
    precision: str
    batch_size: int
    n_threads: int
    work: Work


def bench(
    models: Model | str | Path | Sequence[Model | str | Path],
    data: Table | None = None,
    *,
    batch_sizes: Sequence[int] | None = None,
    n_threads: Sequence[int] | None = None,
    providers: Sequence[ProviderName] | None = None,
    seconds: float = 0.5,
    torch: bool = True,
    starts: bool = True,
    format: str | None = None,
    images: ImageRules | Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> Bench:
    """How fast model files run on this machine: from ready arrays to outputs, as ``Model.predict`` runs them.

    For every provider, batch size and number of threads: the median and the 90th and 99th percentile of the time of a call,
    and rows a second, the median of at most five rounds in which everything is measured in turn. And what a fresh process
    takes to import, load and predict a first row, and its memory. Beside it the same network in torch, where that is
    installed and the learner can be made anew from what the file tells: untrained, on ready tensors and without what the file
    does before and after it.

    ``models``: a model or a path, or several to compare. ``data``: a table whose rows are run, again where a batch needs more;
    by default rows drawn to fit the schema. ``batch_sizes``: rows of a call, by default 1, 32, 1000 and 10000, of images 1 and
    32. ``n_threads``: by default 1 and as many as there are cores; a file of ours shares
    out chunks of rows, so threads that a batch has no chunk for are not counted. ``providers``: ``cpu``, ``cuda``, by default
    those that work here. ``seconds`` (> 0): time spent on each setting. ``torch``, ``starts``: whether to measure torch and
    fresh processes. ``format``, ``images`` and ``progress`` as in
    :func:`onnxlearn.importance`.

    Raises: ProviderError for a provider that does not work, ModelFileError, DataError, ParameterError.

    >>> import onnxlearn as ol
    >>> model = ol.learner("linear", max_epochs=1).fit(ol.example_task("iris"), progress=False)
    >>> found = ol.bench(model, batch_sizes=[1, 100], n_threads=[1], seconds=0.01, starts=False, torch=False)
    >>> found.to_frame()[["engine", "provider", "batch_size"]].values.tolist()
    [['onnxruntime', 'CPU', 1], ['onnxruntime', 'CPU', 100]]
    """
    _require_options(BATCH_SIZES if batch_sizes is None else batch_sizes, n_threads, seconds)
    files = _files(models, data, format, images)
    if batch_sizes is None:
        has_images = any(file.model.schema.of_kind("image") for file in files)
        batch_sizes = IMAGE_BATCH_SIZES if has_images else BATCH_SIZES
    threads = list(dict.fromkeys(n_threads or (1, available_cores())))
    working: tuple[ProviderName, ...] = ("cpu",) if cuda_obstacle() else ("cpu", "cuda")
    wanted = list(dict.fromkeys(providers or working))
    cells = [cell for file in files for provider in wanted for cell in _file_cells(file, provider, batch_sizes, threads)]
    notes = [*(["rows: drawn to fit the schema"] if data is None else []), *_disturbances()]
    if torch:
        for file in files:
            rival = find_rival(file.model)
            notes.append(f"no torch beside {file.name}: {rival}" if isinstance(rival, str) else ABOUT)
            cells += [] if isinstance(rival, str) else _rival_cells(file, rival, batch_sizes, threads)
    # First: where a fresh process fails, nothing that was measured is lost.
    packages = ["torch"] if any(cell.engine == "torch" for cell in cells) else []
    fresh = tuple(_starts(files, packages, wanted[0])) if starts else ()
    used = max((cell.n_threads for cell in cells if cell.engine != "torch"), default=1)
    if max(threads) > used:
        notes.append(
            f"more than {used} thread{'s' if used > 1 else ''} had nothing to do: these batches are too small to share out"
        )
    with progress_steps("measuring", len(cells) * (ROUNDS + 1), show=progress) as on_step:
        times = time_all([cell.work for cell in cells], seconds=seconds, on_step=on_step)
    timings = tuple(_timing(cell, found) for cell, found in zip(cells, times, strict=True))
    return Bench(
        about=_about(packages), files=tuple(_facts(file) for file in files), timings=timings,
        starts=fresh, notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _require_options(batch_sizes: Sequence[int], n_threads: Sequence[int] | None, seconds: float) -> None:
    for name, values in (("batch_sizes", batch_sizes), ("n_threads", n_threads)):
        if values is None:
            continue
        if isinstance(values, int) or not values or not all(is_integer(value) and value >= 1 for value in values):
            raise ParameterError(f"{name} has to be a list of integers >= 1, not {values!r}")
    if not 0 < seconds < float("inf"):
        raise ParameterError(f"seconds has to be a number > 0, not {seconds!r}")


def _files(models: Any, data: Table | None, format: str | None, images: Any) -> list[_File]:
    given = [models] if isinstance(models, Model | str | Path) else list(models)
    if not given:
        raise ParameterError("bench needs a model or the path of one")
    names = [_name(model, i) for i, model in enumerate(given, 1)]
    if len(set(names)) < len(names):
        # Of files that are called alike their whole path tells them apart.
        names = [str(model) if not isinstance(model, Model) else name for model, name in zip(given, names, strict=True)]
    opened = [model if isinstance(model, Model) else load(model, provider="cpu") for model in given]
    return [_File(name=n, model=m, feeds=_feeds(m, data, format, images)) for n, m in zip(names, opened, strict=True)]


def _name(model: Model | str | Path, number: int) -> str:
    return f"model {number}" if isinstance(model, Model) else table_name(model)


def _feeds(model: Model, data: Table | None, format: str | None, images: Any) -> Feeds:
    table = drawn_frame(model.schema, START_ROWS).drop(columns=list(model.schema.target.names)) if data is None else data
    return read_rows(model, table, format=format, images=images).feeds


def _file_cells(file: _File, provider: ProviderName, batch_sizes: Sequence[int], threads: Sequence[int]) -> Iterator[_Cell]:
    data, precision = file.model.to_bytes(), read_precision(file.model.to_bytes())
    known: set[tuple[int, int]] = set()
    for n_threads in threads:
        model = Model(data, provider=provider, n_threads=n_threads, source=file.name)
        name = model.providers[0]
        for size in batch_sizes:
            rows = _batch(file.feeds, size)
            # Threads beyond the chunks have nothing to do, and on a GPU chunks wait for each other.
            used = min(n_threads, -(-size // chunk_size(rows, model.chunk_rows))) if name == CPU_PROVIDER else 1
            if (size, used) not in known:
                known.add((size, used))
                yield _Cell(
                    engine="onnxruntime", file=file.name, provider=name.removesuffix("ExecutionProvider"),
                    precision=precision, batch_size=size, n_threads=used, work=_running(model, rows),
                )  # fmt: skip


def _rival_cells(file: _File, rival: Bare, batch_sizes: Sequence[int], threads: Sequence[int]) -> Iterator[_Cell]:
    for n_threads in threads:
        for size in batch_sizes:
            yield _Cell(
                engine="torch", file=file.name, provider="CPU", precision=rival.precision, batch_size=size, n_threads=n_threads,
                work=_opening(rival, _batch(file.feeds, size), n_threads),
            )  # fmt: skip


def _running(model: Model, rows: Feeds) -> Work:
    return lambda: contextlib.nullcontext(lambda: model.predict_feeds(rows))


def _opening(rival: Bare, rows: Feeds, n_threads: int) -> Work:
    return lambda: rival.opened(rows, n_threads)


def _batch(feeds: Feeds, size: int) -> Feeds:
    """So many rows: the first ones, and again from the start where there are not as many."""
    at = np.arange(size) % len(next(iter(feeds.values())))
    return taken(feeds, at)


def _timing(cell: _Cell, rounds: Sequence[Sequence[float]]) -> Timing:
    calls = [1000 * duration for durations in rounds for duration in durations]
    rates = [len(durations) * cell.batch_size / sum(durations) for durations in rounds]
    facts = {field.name: getattr(cell, field.name) for field in fields(cell) if field.name != "work"}
    return Timing(
        **facts, n_calls=len(calls), p50_ms=float(np.median(calls)), p90_ms=percentile(calls, 90), p99_ms=percentile(calls, 99),
        rows_per_s=float(np.median(rates)),
    )  # fmt: skip


def _facts(file: _File) -> dict[str, Any]:
    data = file.model.to_bytes()
    learner = file.model.metadata["learner"].get("name")
    return {"file": file.name, "learner": learner, "precision": read_precision(data), "n_bytes": len(data)}


def _about(packages: Sequence[str]) -> dict[str, Any]:
    names = ("onnxlearn", "numpy", *packages)
    import onnxruntime

    versions = {"python": platform.python_version(), "onnxruntime": onnxruntime.__version__}
    versions |= {name: version(name) for name in names}
    return {"versions": versions, "platform": f"{platform.system()} {platform.machine()}", "cores": available_cores()}


def _disturbances() -> list[str]:
    """A note where the cores were busy: others make times longer, above all those of several threads."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = os.cpu_count() or 1
    return [f"the machine was busy before: a load of {load:.1f} on {cores} cores"] if load > cores / 2 else []


def _starts(files: Sequence[_File], packages: Sequence[str], provider: ProviderName) -> list[Any]:
    with tempfile.TemporaryDirectory(prefix="onnxlearn-") as folder:
        saved: dict[str, tuple[Path, Feeds]] = {}
        for i, file in enumerate(files):
            path = Path(folder, f"{i}.onnx")
            file.model.save(path)
            n_rows = START_IMAGES if file.model.schema.of_kind("image") else START_ROWS
            saved[file.name] = (path, _batch(file.feeds, n_rows))
        return start_all(saved, packages, provider)
