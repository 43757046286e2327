"""What enters a network that takes all columns as one row of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from onnxlearn.networks.layers.dense import embedding_width
from onnxlearn.params import param
from onnxlearn.preprocess.config import AS_CODES
from onnxlearn.schema import Ingress
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.layers.numeric import NumEmbeddingConfig, build_num_embedding, embedded_kinds


@dataclass(frozen=True, kw_only=True)
class FlatInputsConfig(NumEmbeddingConfig):
    """How columns become inputs. Embeddings of numbers stand beside the numbers."""

    d_embedding_max: int = param(
        32, "largest width of an embedding, which is 1.6 n^0.56 for n codes", low=1, when=AS_CODES, on="categories"
    )
    embedding_std: float = param(
        0.1, "standard deviation of an embedding's initial values", low=0, low_open=True, when=AS_CODES, on="categories"
    )


class FlatInputs(nn.Module):
    """Embeddings of numbers, numbers, embeddings of categories, side by side.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, d_out]``.
    """

    def __init__(self, ingress: Ingress, config: FlatInputsConfig) -> None:
        super().__init__()
        self.n_embedded = len(embedded_kinds(ingress))
        self.num_embedding = build_num_embedding(ingress, config)
        widths = [embedding_width(n, config.d_embedding_max) for n in ingress.cardinalities]
        self.embedding = CodeEmbedding(ingress.cardinalities, widths, std=config.embedding_std) if widths else None
        d_num_embedding = 0 if self.num_embedding is None else self.num_embedding.d_out
        self.d_out = d_num_embedding + ingress.n_num + sum(widths)

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set up what depends on the training rows."""
        if self.num_embedding is not None:
            self.num_embedding.initialize(inputs["num"][:, : self.n_embedded])

    def forward(self, num: Tensor | None, cat: Tensor | None) -> Tensor:
        """Embed and join."""
        inputs = []
        if self.num_embedding is not None and num is not None:
            inputs.append(self.num_embedding(num[..., : self.n_embedded]).flatten(-2))
        if num is not None:
            inputs.append(num)
        if self.embedding is not None and cat is not None:
            inputs.append(self.embedding(cat))
        return torch.cat(inputs, dim=-1) if len(inputs) > 1 else inputs[0]
