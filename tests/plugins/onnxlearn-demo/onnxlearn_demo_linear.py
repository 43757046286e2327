"""A linear model as a learner of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from onnxlearn.params import param
from onnxlearn.schema import Schema
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.network_learner import NetworkLearner


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """Its one setting."""

    bias: bool = param(True, "whether the layer has a bias")


class Linear(nn.Module):
    """Numbers and embedded codes to outputs."""

    def __init__(self, schema: Schema, config: LinearConfig) -> None:
        super().__init__()
        ingress = schema.ingress
        widths = [1] * ingress.n_cat
        self.embedding = CodeEmbedding(ingress.cardinalities, widths, std=0.1) if widths else None
        self.layer = nn.Linear(ingress.n_num + sum(widths), schema.n_outputs, bias=config.bias)

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        parts = [] if num is None else [num]
        if self.embedding is not None:
            parts.append(self.embedding(cat))
        return self.layer(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])


class DemoLinear(NetworkLearner):
    """Learner ``demo_linear``."""

    name: ClassVar[str] = "demo_linear"
    architecture = Linear
    architecture_config = LinearConfig
    without: Mapping[str, str] = {"dropout_schedule": "it has no dropout", "norm_statistics": "it has no batch norm"}
