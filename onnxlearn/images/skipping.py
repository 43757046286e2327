"""Rows of a table whose images can all be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlearn.images.column import Problem
from onnxlearn.images.feed import ImageFeed
from onnxlearn.images.reading import Array
from onnxlearn.images.rules import ImageRules
from onnxlearn.remarks import Remark, note
from onnxlearn.session import available_cores

BATCH_ROWS = 64


def problems_of(feed: ImageFeed) -> list[Problem]:
    """Decode every image once, in several processes: those that cannot be read; the column's policy is ``skip``."""
    parts = np.array_split(np.arange(len(feed)), max(1, len(feed) // BATCH_ROWS))
    batches = feed.column.batches([part.tolist() for part in parts], n_jobs=available_cores())
    return [problem for batch in batches for problem in batch.problems]


def readable(feeds: Mapping[str, Any], rules: ImageRules) -> Array:
    """The numbers of the rows whose images can all be read, int64 ``[n]``; it is told which cannot."""
    images = [feed for feed in feeds.values() if isinstance(feed, ImageFeed)]
    n_rows = len(next(iter(feeds.values())))
    problems: list[Problem] = []
    for feed in images:
        column = dataclasses.replace(feed.ruled(rules).column, policy="skip")
        problems += problems_of(dataclasses.replace(feed, column=column))
    note(
        Remark("images that cannot be read, and whose rows are left out (the rule policy=skip of images)", problem.text)
        for problem in problems
    )
    lost = {problem.row for problem in problems}
    return np.array([row for row in range(n_rows) if row not in lost], np.int64)
