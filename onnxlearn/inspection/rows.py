"""The rows that a model is looked at with: its inputs, and truth and weights where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.files.tables import open_table
from onnxlearn.images.feed import ruled
from onnxlearn.images.rules import ImageRules, beside, rules_for_every_row
from onnxlearn.measures import Array
from onnxlearn.model import Model, Table, as_frame, frame_rows
from onnxlearn.task import Task
from onnxlearn.wire.feeds import Feeds, joined, require_features
from onnxlearn.wire.rows import Rows as Source
from onnxlearn.wire.rows import known_truth, say_extra_columns


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """N rows: ``feeds`` ``[N, 1]`` by feature; ``truth`` int64 ``[N]`` or float64 ``[N, T]``, else ``no_truth`` says why.

    ``weights`` float64 ``[N]`` where the model was trained with weights and the rows have them.
    """

    feeds: Feeds
    truth: Array | None
    weights: Array | None
    no_truth: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.feeds.values())))

    def require_truth(self) -> None:
        """Raise ``DataError`` where the truth is not known."""
        if self.truth is None:
            raise DataError(f"this cannot be scored: {self.no_truth}")


def require_model(model: object) -> None:
    """Raise ``ParameterError`` for what is no model, a path for example."""
    if not isinstance(model, Model):
        raise ParameterError(f"the first argument has to be a Model, not {model!r}: ol.load(path) opens a file")


def read_rows(
    model: Model, table: Table, *, format: str | None = None, images: ImageRules | Mapping[str, Any] | None = None
) -> Rows:
    """The rows of any form of table that a model predicts.

    ``format``: of a file whose suffix does not tell. ``images``: how images are read; those of a task by its own rules.

    Raises: TableReadError, ColumnNotFoundError, DataTypeError, ParameterError; DataError where there is no row.
    """
    rules = rules_for_every_row(images)
    if isinstance(table, str | Path):
        rows = _of_file(model, table, format, beside(rules, table))
    elif isinstance(table, Task) and (table.schema.features, table.schema.target) == (
        model.schema.features,
        model.schema.target,
    ):
        rows = Rows(feeds=table.feeds(), truth=table.truth(), weights=table.weights())
    else:
        frame, rules = (table.frame, table.images) if isinstance(table, Task) else (as_frame(table), rules)
        rows = _of_source(model, frame_rows(frame), frame.columns, rules)
    if not len(rows):
        raise DataError("the table has no rows: there is nothing to run the model on")
    return rows


def _of_source(model: Model, source: Source, columns: Any, images: ImageRules) -> Rows:
    say_extra_columns(columns, model.schema)
    require_features(model.schema, columns)
    truth, weights, why = known_truth(model.schema, source)
    return Rows(feeds=ruled(source.feeds(model.schema), images, model.schema), truth=truth, weights=weights, no_truth=why)


def _of_file(model: Model, path: str | Path, format: str | None, images: ImageRules) -> Rows:
    with open_table(path, format) as reader:
        require_features(model.schema, reader.columns)
        return _joined([_of_source(model, batch, reader.columns, images) for batch in reader.batches()])


def _joined(parts: Sequence[Rows]) -> Rows:
    unknown = next((part.no_truth for part in parts if part.truth is None), "")

    def together(arrays: Sequence[Array | None]) -> Array | None:
        present = [array for array in arrays if array is not None]
        return np.concatenate(present) if len(present) == len(arrays) else None

    return Rows(
        feeds={name: joined([part.feeds[name] for part in parts]) for name in parts[0].feeds},
        truth=None if unknown else together([part.truth for part in parts]),
        weights=together([part.weights for part in parts]),
        no_truth=unknown,
    )
