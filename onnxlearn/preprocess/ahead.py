"""Preprocessing of rows that are too many to be kept: some at a time, ahead of when they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from onnxlearn.images.feed import ImageFeed
from onnxlearn.images.readers import Readers
from onnxlearn.providers import CPU_PROVIDER
from onnxlearn.remarks import Remark, kept, note
from onnxlearn.session import CHUNK_ROWS, Session, run_chunked, start_session
from onnxlearn.wire.feeds import Feeds


def prepared_ahead(model: bytes, feeds: Feeds, parts: Iterable[Any], readers: Readers) -> Iterator[Mapping[str, Any]]:
    """What a preprocessing model (:meth:`~onnxlearn.preprocess.preprocessing.Preprocessing.to_model`) makes of rows.

    ``parts``: numbers of rows, int64 ``[n]`` each, taken as they are needed. Gives the tensors of each part by the model's
    outputs, made by the processes of ``readers``, which also decode the images.

    Raises: ImageReadError where an image cannot be read, when its part's turn comes.
    """
    wanted = ({name: _some(feeds[name], rows) for name in feeds} for rows in parts)
    for made, remarks in readers.map(functools.partial(_prepared, model), wanted):
        note(remarks)
        yield made


def _some(feed: Any, rows: Any) -> Any:
    return feed[rows].packed() if isinstance(feed, ImageFeed) else feed[rows]


def _prepared(model: bytes, feeds: Feeds) -> tuple[Mapping[str, Any], list[Remark]]:
    with kept() as remarks:
        made = run_chunked(_session(model), feeds)
    return made, remarks


# Processes serve several trainings by turns.
@functools.lru_cache(maxsize=4)
def _session(model: bytes) -> Session:
    return start_session(model, [CPU_PROVIDER], 1, CHUNK_ROWS)
