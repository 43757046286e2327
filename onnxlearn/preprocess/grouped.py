"""Groups of columns with preprocessing of their own, side by side in one graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.images.config import ImageConfig
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.fitted import FittedPreprocessing
from onnxlearn.preprocess.plan import plan_ingress
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn.schema import Schema
from onnxlearn.text.vectors import WordVectors

Array = np.ndarray[Any, np.dtype[Any]]
T = TypeVar("T")


def fit_preprocessing(
    schema: Schema,
    config: PreprocessConfig,
    feeds: Mapping[str, Array],
    truth: Array | None = None,
    weights: Array | None = None,
    groups: Array | None = None,
) -> FittedPreprocessing:
    """Fit on the feeds of the training rows, each group on its columns; see :meth:`Preprocessing.fit`."""
    if not config.groups:
        return Preprocessing.fit(schema, config, feeds, truth, weights, groups)
    ingress = plan_ingress(schema, config)
    fitted = []
    for name, group in config.groups.items():
        if ingress.has(name):
            table = group.table(schema)
            own = {each: feeds[each] for each in table.feature_names}
            fitted.append(Preprocessing.fit(table, group.config, own, truth, weights, groups, name))
    return GroupedPreprocessing(schema=dataclasses.replace(schema, ingress=ingress), config=config, groups=tuple(fitted))


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupedPreprocessing(FittedPreprocessing):
    """Fitted preprocessing of several groups. Of what they make, the graph has what the network reads."""

    schema: Schema
    config: PreprocessConfig
    groups: tuple[Preprocessing, ...]

    @property
    def counts(self) -> dict[str, Sequence[Array]]:
        """Those of all groups."""
        return self._read(group.counts for group in self.groups)

    @property
    def notes(self) -> list[str]:
        """Those of all groups."""
        return [note for group in self.groups for note in group.notes]

    @property
    def words(self) -> dict[str, Sequence[str]]:
        """Those of all groups."""
        return self._read(group.words for group in self.groups)

    @property
    def word_vectors(self) -> dict[str, WordVectors]:
        """Those of all groups."""
        return self._read(group.word_vectors for group in self.groups)

    @property
    def image_configs(self) -> dict[str, ImageConfig]:
        """Those of all groups."""
        return self._read(group.image_configs for group in self.groups)

    @property
    def folds(self) -> dict[str, Array]:
        """Those of all groups."""
        return {name: folds for group in self.groups for name, folds in group.folds.items()}

    def _read(self, parts: Iterable[Mapping[str, T]]) -> dict[str, T]:
        """Of the tensors that the network reads: of some columns a group tells alone which are missing."""
        return {name: value for part in parts for name, value in part.items() if name in self.ingress.shapes}

    def emit(self, g: GraphBuilder, inputs: Mapping[str, Value], folds: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """Add the nodes of all groups, below ``prep/`` and their names."""
        made = {name: tensor for group in self.groups for name, tensor in group.emit(g, inputs, folds).items()}
        return {name: made[name] for name in self.ingress.shapes}
