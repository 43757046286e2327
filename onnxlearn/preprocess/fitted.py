"""What fitted preprocessing is to those who use it."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.images.config import ImageConfig
from onnxlearn.preprocess.coding import declare_inputs
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.runtime import open_session
from onnxlearn.schema import Ingress, Schema
from onnxlearn.session import Session, run_chunked
from onnxlearn.text.vectors import WordVectors

Array = np.ndarray[Any, np.dtype[Any]]

# A feature may be called num, but not prep/num.
PREP = "prep/"


class FittedPreprocessing(ABC):
    """Makes the tensors of a network of raw columns, as nodes of a graph.

    ``schema`` has its ``ingress`` set.
    """

    schema: Schema
    config: PreprocessConfig

    @property
    def ingress(self) -> Ingress:
        """The tensors that enter the network."""
        assert self.schema.ingress is not None, "it is set when preprocessing is fitted"
        return self.schema.ingress

    @property
    @abstractmethod
    def counts(self) -> dict[str, Sequence[Array]]:
        """How often training rows have each code and each id of a text, by the tensor's name; one array a column."""

    @property
    @abstractmethod
    def notes(self) -> list[str]:
        """What there is to tell of the training rows."""

    @property
    @abstractmethod
    def words(self) -> dict[str, Sequence[str]]:
        """The words that are known of texts, in the order of their ids, by the tensor's name."""

    @property
    @abstractmethod
    def word_vectors(self) -> dict[str, WordVectors]:
        """What embeddings of words begin with, by the tensor's name, where a file was given."""

    @property
    @abstractmethod
    def image_configs(self) -> dict[str, ImageConfig]:
        """How images are prepared, by the tensor's name."""

    @property
    @abstractmethod
    def folds(self) -> dict[str, Array]:
        """Further inputs of the graph for training rows, which get other numbers than all others: int64 ``[n, 1]`` by name."""

    @abstractmethod
    def emit(self, g: GraphBuilder, inputs: Mapping[str, Value], folds: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """Add the nodes below ``prep/``: the tensors of the ingress by name.

        ``folds``: INT64 ``[N, 1]`` by the names of :attr:`folds`, where these are training rows.
        """

    def to_model(self, *, training: bool = False) -> onnx.ModelProto:
        """A model of its own with the outputs ``prep/num``, ``prep/cat`` and so on, those that there are.

        ``training``: that for training rows, whose further inputs are :attr:`folds`.
        """
        g = GraphBuilder()
        inputs = declare_inputs(g, self.schema)
        folds = {name: g.input(name, "INT64", ["N", 1]) for name in self.folds} if training else {}
        tensors, integral = self.emit(g, inputs, folds), self.ingress.integral
        for name, row in self.ingress.shapes.items():
            g.output(tensors[name], PREP + name, "INT64" if integral[name] else "FLOAT", ["N", *row])
        return g.to_model()

    def transform(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The tensors of these rows by name, made by running :meth:`to_model`."""
        return _by_ingress(run_chunked(self._session, feeds))

    def transform_training(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The same for the rows that it was fitted on: of a target encoding each row has the means of other folds."""
        if not self.folds:
            return self.transform(feeds)
        session = open_session(self.to_model(training=True).SerializeToString(), "cpu")
        return _by_ingress(run_chunked(session, self.training_feeds(feeds)))

    def training_feeds(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The feeds of ``to_model(training=True)`` from those of the rows that it was fitted on."""
        return {**feeds, **self.folds}

    @functools.cached_property
    def _session(self) -> Session:
        """:meth:`to_model`, opened once: training, validation and the proof of parity all run it."""
        return open_session(self.to_model().SerializeToString(), "cpu")


def _by_ingress(outputs: Mapping[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(PREP): tensor for name, tensor in outputs.items()}
