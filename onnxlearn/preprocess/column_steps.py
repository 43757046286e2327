"""Fitting columns that enter the network as tensors of their own, and emitting them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.images.config import ImageConfig
from onnxlearn.images.step import ImageStep
from onnxlearn.preprocess.config import COLUMN_KINDS, PreprocessConfig
from onnxlearn.schema import Column, ColumnTensor, Schema
from onnxlearn.text.config import TextConfig
from onnxlearn.text.step import TextStep


class ColumnStep(Protocol):
    """What is fitted of one such column."""

    @property
    def tensor(self) -> ColumnTensor:
        """What enters the network."""

    @property
    def n_missing(self) -> int:
        """Training rows without a value."""

    @property
    def counts(self) -> np.ndarray[Any, np.dtype[Any]]:
        """How often training rows have each id, int64 ``[n_ids]``."""

    def emit(self, g: GraphBuilder, column: Value) -> tuple[Value, Value | None]:
        """Add the nodes from the file's input to the tensor, and to what tells missing rows, BOOL ``[N, 1]``."""


def fit_columns(schema: Schema, config: PreprocessConfig, feeds: Mapping[str, Any]) -> tuple[ColumnStep, ...]:
    """Fit on the feeds of the training rows."""
    return tuple(_fit(column, config, feeds[column.name]) for column in schema.of_kind(*COLUMN_KINDS))


def _fit(column: Column, config: PreprocessConfig, feed: Any) -> ColumnStep:
    if isinstance(config, TextConfig) and column.kind == "text":
        return TextStep.fit(column, config, feed)
    assert isinstance(config, ImageConfig), "the plan has been made"
    return ImageStep.fit(column, config, feed)
