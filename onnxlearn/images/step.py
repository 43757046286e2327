"""A column of images on its way into the network: nothing of it is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.images.config import ImageConfig, extracted, plan_images
from onnxlearn.images.emit import emit_images
from onnxlearn.images.extraction import emit_features
from onnxlearn.schema import Column, ColumnTensor


@dataclass(frozen=True)
class ImageStep:
    """Images of ``n_channels`` channels, brought to the size and scale of ``config``."""

    tensor: ColumnTensor
    config: ImageConfig
    n_channels: int
    n_missing: int
    counts: ClassVar[np.ndarray[Any, np.dtype[Any]]] = np.empty(0, np.int64)

    @classmethod
    def fit(cls, column: Column, config: ImageConfig, feed: Any) -> Self:
        """Count the missing ones; ``feed``: an :class:`onnxlearn.images.feed.ImageFeed`."""
        return cls(plan_images(column, config), config, column.n_channels, feed.n_missing)

    def emit(self, g: GraphBuilder, column: Value) -> tuple[Value, Value | None]:
        """Add the nodes to FLOAT ``[N, C, h, w]``, or ``[N, d]`` of features, and BOOL ``[N, 1]``."""
        images = emit_images(g, column, self.config, n_channels=self.n_channels)
        missing = g.op("Unsqueeze", images.missing, g.const(np.array([1], np.int64)))
        found = extracted(self.config, images.n_channels)
        if found is None:
            return images.pixels, missing
        return emit_features(g, images.pixels, images.missing, found), missing
