"""Columns that enter the network as tensors of their own: texts and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from onnxlearn.errors import DataError
from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.images.step import ImageStep, plan_images
from onnxlearn.preprocess.config import COLUMN_KINDS, ColumnsConfig, PreprocessConfig
from onnxlearn.schema import Column, ColumnTensor, Schema


class ColumnStep(Protocol):
    """What is fitted of one such column."""

    @property
    def tensor(self) -> ColumnTensor:
        """What enters the network."""

    @property
    def n_missing(self) -> int:
        """Training rows without a value."""

    def emit(self, g: GraphBuilder, column: Value) -> tuple[Value, Value | None]:
        """Add the nodes from the file's input to the tensor, and to what tells missing rows."""


def plan_columns(schema: Schema, config: PreprocessConfig) -> tuple[ColumnTensor, ...]:
    """The tensors of all texts and images, in the schema's order.

    Raises: DataError where the settings are those of a learner that takes none; ParameterError.
    """
    columns = schema.of_kind(*COLUMN_KINDS)
    if not columns:
        return ()
    if not isinstance(config, ColumnsConfig):
        column = columns[0]
        raise DataError(
            f"column {column.name!r} is of kind {column.kind}, which this learner does not take: use learner 'multimodal', "
            f"or a graph with ingress.{column.kind}(), or ignore the column"
        )
    return tuple(_plan(column, config) for column in columns)


def fit_columns(schema: Schema, config: PreprocessConfig, feeds: Mapping[str, Any]) -> tuple[ColumnStep, ...]:
    """Fit on the feeds of the training rows."""
    columns = schema.of_kind(*COLUMN_KINDS)
    if not columns:
        return ()
    assert isinstance(config, ColumnsConfig), "the plan has been made"
    return tuple(_fit(column, config, feeds[column.name]) for column in columns)


def _plan(column: Column, config: ColumnsConfig) -> ColumnTensor:
    assert column.kind == "image"
    return plan_images(column, config)


def _fit(column: Column, config: ColumnsConfig, feed: Any) -> ColumnStep:
    assert column.kind == "image"
    return ImageStep.fit(column, config, feed)


def indicated(schema: Schema, config: PreprocessConfig) -> Sequence[Column]:
    """The columns whose missing rows have a 0/1 column of ``num``."""
    return [column for column in schema.of_kind("image") if column.has_missing and config.missing_indicator]
