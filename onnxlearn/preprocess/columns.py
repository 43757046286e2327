"""Columns that enter the network as tensors of their own: texts and images."""

from __future__ import annotations

from collections.abc import Sequence

from onnxlearn.errors import DataError
from onnxlearn.images.config import ImageConfig, plan_images
from onnxlearn.preprocess.config import COLUMN_KINDS, PreprocessConfig
from onnxlearn.schema import Column, ColumnTensor, Schema
from onnxlearn.text.config import TextConfig, plan_texts


def plan_columns(schema: Schema, config: PreprocessConfig) -> tuple[ColumnTensor, ...]:
    """The tensors of all texts and images, in the schema's order.

    Raises: DataError where the settings are those of a learner that takes none; ParameterError.
    """
    return tuple(_plan(column, config) for column in schema.of_kind(*COLUMN_KINDS))


def _plan(column: Column, config: PreprocessConfig) -> ColumnTensor:
    if column.kind == "image" and isinstance(config, ImageConfig):
        return plan_images(column, config)
    if column.kind == "text" and isinstance(config, TextConfig):
        return plan_texts(column, config)
    raise DataError(
        f"column {column.name!r} is of kind {column.kind}, which this learner does not take: use learner 'multimodal', "
        f"or a graph with ingress.{column.kind}(), or ignore the column"
    )


def indicated(schema: Schema, config: PreprocessConfig) -> Sequence[Column]:
    """The columns whose missing rows have a 0/1 column of ``num``."""
    return [column for column in schema.of_kind(*COLUMN_KINDS) if column.has_missing and config.missing_indicator]
