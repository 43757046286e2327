"""A session of ONNX Runtime: its threads, and big batches in chunks."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from onnxlearn.errors import ModelFileError
from onnxlearn.providers import CPU_PROVIDER, first_line, import_onnxruntime

if TYPE_CHECKING:
    import numpy as np

# About a thousand rows of a table keep most networks' activations in the processor's cache: 1.2-1.3x faster than
# 10,000-row chunks, 1.6x than 100,000. A file whose network has wide ones asks for fewer. Every input costs a little in
# every run, so many columns are no reason for smaller chunks (500 of them: 128 rows cost twice as much as 1,000); rows of
# images are.
CHUNK_ROWS = 1000
CHUNK_VALUES = 1_000_000

_ON_ONE_CORE: contextvars.ContextVar[bool] = contextvars.ContextVar("on_one_core", default=False)


class Session(Protocol):
    """What is used of ``onnxruntime.InferenceSession``, and how :func:`run_chunked` runs it.

    ``n_threads``: chunks side by side; ``chunk_rows``: the most rows of a chunk.
    """

    n_threads: int
    chunk_rows: int

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]) -> list[Any]:
        """Outputs of these names, in order."""

    def get_inputs(self) -> list[Any]:
        """Inputs with ``name``, ``type`` and ``shape``."""

    def get_outputs(self) -> list[Any]:
        """Outputs with ``name``, ``type`` and ``shape``."""

    def get_providers(self) -> list[str]:
        """The execution providers that the session really has."""


def run_chunked(
    session: Session,
    feeds: Mapping[str, Any],
    names: Sequence[str] | None = None,
    chunk_rows: int | None = None,
) -> dict[str, np.ndarray[Any, Any]]:
    """Run all rows in chunks and join the outputs; memory beyond the outputs does not grow with the rows.

    ``feeds``: one array a model input, all with the rows on the first axis; images may be an
    :class:`onnxlearn.images.feed.ImageFeed`. ``names``: the outputs to compute, by default
    all. ``chunk_rows``: rows of a chunk, by default the session's and fewer when rows are wide. No rows give empty outputs.
    """
    names = list(names) if names is not None else [output.name for output in session.get_outputs()]
    n_rows = len(next(iter(feeds.values())))
    run_rows = session.run
    if any(hasattr(feed, "read") for feed in feeds.values()):
        # Images, which are read when they are run.
        from onnxlearn.images.run import CHUNK_ROWS as IMAGE_ROWS
        from onnxlearn.images.run import run_images

        run_rows, chunk_rows = functools.partial(run_images, session), min(chunk_rows or session.chunk_rows, IMAGE_ROWS)
    step = chunk_rows or chunk_size(feeds, session.chunk_rows)
    if n_rows <= step:
        return dict(zip(names, run_rows(names, feeds), strict=True))
    import numpy as np

    def run(start: int) -> list[np.ndarray[Any, Any]]:
        # Slices of C-contiguous arrays are views: nothing is copied on the way in.
        return run_rows(names, {name: array[start : start + step] for name, array in feeds.items()})

    first = run(0)
    joined = [np.empty((n_rows, *output.shape[1:]), output.dtype) for output in first]

    def fill(start: int) -> None:
        for whole, output in zip(joined, run(start) if start else first, strict=True):
            whole[start : start + step] = output

    _for_each(fill, range(0, n_rows, step), session.n_threads)
    return dict(zip(names, joined, strict=True))


def run_quietly(session: Session, feeds: Mapping[str, np.ndarray[Any, Any]]) -> list[Any]:
    """All outputs; where it fails the runtime raises and does not also write to stderr."""
    options = import_onnxruntime().RunOptions()
    options.log_severity_level = 4
    outputs: list[Any] = session.run(None, feeds, options)  # type: ignore[call-arg]
    return outputs


def _for_each(work: Callable[[int], None], items: Sequence[int], n_threads: int) -> None:
    if n_threads == 1:
        for item in items:
            work(item)
        return
    from concurrent.futures import ThreadPoolExecutor

    context = contextvars.copy_context()
    with ThreadPoolExecutor(n_threads) as pool:
        # What is noted there is heard here. Asking for the results is what raises the errors.
        list(pool.map(lambda item: context.copy().run(work, item), items))


def chunk_size(feeds: Mapping[str, np.ndarray[Any, Any]], most: int = CHUNK_ROWS) -> int:
    """Rows of a chunk that suit the width of these rows."""
    return chunk_rows_of(sum(math.prod(array.shape[1:]) for array in feeds.values()), most)


def chunk_rows_of(width: int, most: int = CHUNK_ROWS) -> int:
    """Rows of a chunk, at most so many, for rows of so many values."""
    return max(1, min(most, CHUNK_VALUES // max(width, 1)))


def block_rows_of(chunk: int, most: int) -> int:
    """At most so many rows, in whole chunks: blocks cut a table where chunks do, so that blocks change no result."""
    return chunk * max(1, most // chunk)


@contextlib.contextmanager
def on_one_core() -> Iterator[None]:
    """Inside, sessions are opened for one core: others are busy with work of the same kind."""
    token = _ON_ONE_CORE.set(True)
    try:
        yield
    finally:
        _ON_ONE_CORE.reset(token)


def available_cores() -> int:
    """Number of cores that this process may use; 1 inside :func:`on_one_core`."""
    if _ON_ONE_CORE.get():
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@functools.cache
def say_once(text: str) -> None:
    """Write a line to stderr, the first time that this process says it."""
    sys.stderr.write(text + "\n")


def start_session(
    source: bytes | Path,
    providers: Sequence[Any],
    n_threads: int | None,
    chunk_rows: int,
    *,
    n_rows: int | None = None,
) -> Session:
    """A session with these providers of ONNX Runtime, or those of them that it got.

    ``n_rows``: all runs have so many, which the runtime then may rely on. The rest as
    :func:`onnxlearn.runtime.open_session` has it.

    Raises: ModelFileError.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    # What goes wrong is raised.
    options.log_severity_level = 4
    # Chunks side by side use cores better than the threads of one run, which wait for each other at every node: a single
    # row takes half the time without them. So there is nothing to spin either.
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # By default bytes that look like the runtime's own format are read as such, whatever else they are to other readers.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    if n_rows is not None:
        options.add_free_dimension_override_by_name("N", n_rows)
    data = source if isinstance(source, bytes) else str(source)
    try:
        # Its fallback would print to stdout, and carry on with the CPU after a GPU failed in the middle of a run.
        session: Session = ort.InferenceSession(data, options, providers=list(providers), enable_fallback=0)
    except Exception as error:
        raise ModelFileError(f"ONNX Runtime {ort.__version__} cannot load the model: {first_line(error)}") from error
    # Runs on a GPU wait for each other.
    session.n_threads = (n_threads or available_cores()) if list(providers) == [CPU_PROVIDER] else 1
    session.chunk_rows = chunk_rows
    return session
