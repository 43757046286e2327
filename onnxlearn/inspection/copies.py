"""A model run on copies of the same rows in which some columns are replaced, many copies at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from onnxlearn.measures import Array
from onnxlearn.model import Model
from onnxlearn.wire.feeds import Feeds, joined

Change: TypeAlias = Mapping[str, Any]
"""New feeds of some columns: arrays ``[N, 1]``, of images an :class:`~onnxlearn.images.feed.ImageFeed`."""

# A session runs about a thousand rows at a time: small tables are stacked to fill such chunks on all cores, and no more, so
# that what is stacked stays within a few megabytes.
BLOCK_ROWS = 16_384


def outputs_of_copies(
    model: Model, feeds: Feeds, changes: Iterable[Change], *, names: Sequence[str] | None = None
) -> Iterator[dict[str, Array]]:
    """The model's outputs for a copy of the rows with each change made, in order.

    ``feeds``: N rows, at least one. ``names``: the outputs wanted. Memory does not grow with the number of changes.
    """
    n_rows = len(next(iter(feeds.values())))
    most = max(1, BLOCK_ROWS // n_rows)
    stacked: Feeds = {}
    each = iter(changes)
    while block := list(itertools.islice(each, most)):
        if not stacked:
            stacked = {name: joined([feed] * len(block)) for name, feed in feeds.items()}
        changed = set().union(*block)
        copies = {
            name: joined([change.get(name, feed) for change in block])
            if name in changed
            else stacked[name][: len(block) * n_rows]
            for name, feed in feeds.items()
        }
        outputs = model.predict_feeds(copies, names)
        for start in range(0, len(block) * n_rows, n_rows):
            yield {name: array[start : start + n_rows] for name, array in outputs.items()}
