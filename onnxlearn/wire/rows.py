"""What a table holds beside a model's features: columns that nobody uses, the truth and the weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

import numpy as np

from onnxlearn.errors import DataError
from onnxlearn.measures import Array
from onnxlearn.schema import Column, Schema
from onnxlearn.session import say_once
from onnxlearn.wire.feeds import Feeds


class Rows(Protocol):
    """Rows of a table that can be read by a schema."""

    def feeds(self, schema: Schema) -> Feeds:
        """The schema's features."""

    def truth(self, schema: Schema) -> Array | None:
        """The schema's target, ``None`` where the rows do not have its columns."""


def say_extra_columns(names: Iterable[object], schema: Schema) -> None:
    """Say, once a process, which columns of a table are ignored."""
    roles = {*schema.feature_names, *schema.target.names, *schema.stratum, *schema.id, *schema.ignored}
    roles |= {name for name in (schema.group, schema.weight, schema.order) if name is not None}
    extra = [str(name) for name in names if name not in roles]
    if extra:
        shown = ", ".join(repr(name) for name in extra[:8]) + (f" and {len(extra) - 8} more" if len(extra) > 8 else "")
        say_once(f"onnxlearn: ignoring columns that the model does not use: {shown}")


def known_truth(schema: Schema, rows: Rows) -> tuple[Array | None, Array | None, str]:
    """Truth and weights where the rows have them, else why there is no truth."""
    try:
        truth = rows.truth(schema)
        if truth is None:
            return None, None, f"the table has no column {schema.target.name!r}"
        return truth, _weights(schema, rows), ""
    except DataError as error:
        # Predicting needs no truth: what is wrong with it is told when somebody wants to score.
        return None, None, str(error)


def _weights(schema: Schema, rows: Rows) -> Array | None:
    if schema.weight is None:
        return None
    column = Column(name=schema.weight, kind="numeric", dtype="float64")
    weights: Array = rows.feeds(replace(schema, features=(column,)))[column.name][:, 0]
    wrong = np.flatnonzero(~(weights >= 0))
    if len(wrong):
        raise DataError(f"weight column {column.name!r}: a weight has to be a number >= 0, not {weights[wrong[0]]}")
    return weights
