"""Whether the parts of a model, one run after the other, are the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.errors import ParityError
from onnxlearn.graph.check import check_onnx
from onnxlearn.graph.hostile import tried_feeds
from onnxlearn.runtime import open_session
from onnxlearn.session import Session, run_chunked

if TYPE_CHECKING:
    from onnxlearn.model import Model
    from onnxlearn.wire.feeds import Feeds

Array = np.ndarray[Any, np.dtype[Any]]


def told_difference(whole: bytes, parts: Sequence[bytes], model: Model, *, exact: bool) -> list[str]:
    """Hold the parts against the whole on hostile rows; lines that tell by how much they differ, none where in no bit.

    Raises: ParityError where they have to agree and do not, or an output is not finite.
    """
    feeds = tried_feeds(model.schema, model.chunk_rows)
    n = model.block_rows(len(next(iter(feeds.values()))))
    expected = run_chunked(open_session(whole, "cpu"), feeds, chunk_rows=n)
    got = run_chain([_opened(part) for part in parts], feeds, chunk_rows=n)
    lines = [line for name, values in expected.items() if (line := _told(name, values, got[name]))]
    if lines and exact:
        raise ParityError(f"the parts of the model are not the whole: {lines[0]}")
    return lines


def run_chain(sessions: Sequence[Session], feeds: Feeds, *, chunk_rows: int | None = None) -> dict[str, Array]:
    """All outputs of models that each read what those before it give."""
    known: dict[str, Array] = dict(feeds)
    given: dict[str, Array] = {}
    for session in sessions:
        inputs = {value.name: known[value.name] for value in session.get_inputs()}
        given |= run_chunked(session, inputs, chunk_rows=chunk_rows)
        known |= given
    return given


def _opened(part: bytes) -> Session:
    check_onnx(part)
    return open_session(part, "cpu")


def _told(name: str, expected: Array, got: Array) -> str:
    if expected.dtype.kind != "f":
        n_others = int((expected != got).any(axis=tuple(range(1, expected.ndim))).sum())
        return f"{name} differs in {n_others} of {len(got)} hostile rows" if n_others else ""
    if not np.isfinite(got).all():
        raise ParityError(f"{name} is not finite in FLOAT: the numbers are too large for it")
    if expected.dtype == got.dtype and expected.tobytes() == got.tobytes():
        return ""
    difference = np.abs(expected - got)
    relative = difference / np.maximum(np.abs(expected), np.finfo(np.float64).tiny)
    return f"{name} differs by up to {difference.max():.2g} on hostile rows, {relative.max():.2g} of its size"
