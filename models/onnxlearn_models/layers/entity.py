"""Entity embeddings beside batch-normalized numbers, and the hidden layers that follow them in mlr3keras.

Guo and Berkhahn (2016), "Entity Embeddings of Categorical Variables", in the form of mlr3keras' ``make_embedding``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from onnxlearn.networks.layers.dense import embedding_width
from onnxlearn.params import param
from onnxlearn.preprocess.config import AS_CODES
from onnxlearn.schema import FIRST_LEVEL_CODE, Ingress
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.layers.initializer import INITIALIZERS
from onnxlearn_models.layers.norm import NORMS
from onnxlearn_models.layers.numeric import NumEmbeddingConfig, build_num_embedding, embedded_kinds


@dataclass(frozen=True, kw_only=True)
class EntityConfig(NumEmbeddingConfig):
    """Settings that all networks on top of :class:`EntityInputs` share. Embeddings of numbers stand beside the numbers."""

    activation: str = param("relu", "activation function", choices=ACTIVATIONS)
    d_embedding: int | None = param(
        None, "width of every embedding (None: 1.6 n^0.56 for n levels, at most 600)", low=1, when=AS_CODES, on="categories"
    )
    embedding_dropout: float = param(
        0.0, "share of the embeddings' units dropped", low=0, high=0.95, when=AS_CODES, on="categories"
    )
    input_dropout: float = param(0.0, "share of all inputs of the first layer dropped", low=0, high=0.95)
    num_norm: bool = param(True, "batch norm of the numbers", on="numbers")
    initializer: str = param("glorot_uniform", "initial weights of the linear layers", choices=INITIALIZERS)


class EntityInputs(nn.Module):
    """The embeddings of all categories, then all numbers, then the embeddings of numbers if there are any, side by side.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, d_out]``.
    """

    def __init__(self, ingress: Ingress, config: EntityConfig) -> None:
        super().__init__()
        widths = [config.d_embedding or embedding_width(n - FIRST_LEVEL_CODE) for n in ingress.cardinalities]
        self.embedding = CodeEmbedding(ingress.cardinalities, widths) if widths else None
        if self.embedding is not None:
            for table in self.embedding.parameters():
                # Keras' he_uniform, for which the fan of an embedding is its number of rows.
                bound = math.sqrt(6 / len(table))
                nn.init.uniform_(table, -bound, bound)
        self.embedding_dropout = Dropout(config.embedding_dropout)
        # DIFF: running statistics move by 0.1 a step, not by Keras' 0.01, for which small tables have too few steps.
        self.norm = nn.BatchNorm1d(ingress.n_num, eps=1e-3) if ingress.n_num and config.num_norm else nn.Identity()
        self.n_embedded = len(embedded_kinds(ingress))
        self.num_embedding = build_num_embedding(ingress, config)
        self.dropout = Dropout(config.input_dropout)
        d_num_embedding = 0 if self.num_embedding is None else self.num_embedding.d_out
        self.d_out = sum(widths) + ingress.n_num + d_num_embedding

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set up what depends on the training rows."""
        if self.num_embedding is not None:
            self.num_embedding.initialize(inputs["num"][:, : self.n_embedded])

    def forward(self, num: Tensor | None, cat: Tensor | None) -> Tensor:
        """Embed the codes and normalize the numbers."""
        inputs = []
        if self.embedding is not None and cat is not None:
            inputs.append(self.embedding_dropout(self.embedding(cat)))
        if num is not None:
            inputs.append(self.norm(num))
        if self.num_embedding is not None and num is not None:
            inputs.append(self.num_embedding(num[..., : self.n_embedded]).flatten(-2))
        joined: Tensor = self.dropout(torch.cat(inputs, dim=-1) if len(inputs) > 1 else inputs[0])
        return joined


class EntityNet(nn.Module):
    """A network on top of :class:`EntityInputs`."""

    def __init__(self, ingress: Ingress, config: EntityConfig) -> None:
        super().__init__()
        self.inputs = EntityInputs(ingress, config)

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set up what depends on the training rows."""
        self.inputs.initialize(inputs)


def hidden_layers(
    d_in: int, widths: Iterable[int], dropouts: Iterable[float], *, activation: str, norm: str = "none"
) -> nn.Sequential:
    """For each width: linear, activation, norm, dropout, in this order, which is Keras' custom."""
    parts: list[nn.Module] = []
    for width, dropout in zip(widths, dropouts, strict=True):
        parts += [nn.Linear(d_in, width), ACTIVATIONS[activation](), NORMS[norm](width), Dropout(dropout)]
        d_in = width
    return nn.Sequential(*parts)
