"""Linear and logistic regression, trained as a network of one layer.

The minimum is that of scikit-learn's ``Ridge`` and ``LogisticRegression``, penalties included, on the same columns.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from onnxlearn.params import param
from onnxlearn.schema import Ingress, Schema
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.stacked.layers import Form, stacked_form
from onnxlearn_models.training.config import TrainConfig, choose_training

# As many steps at least bring Adam within a hundredth of the minimum on tables of hundreds of columns, most often far closer.
ENOUGH_STEPS = 4_000
EPOCHS = (20, 200)


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """Shape of the network."""

    intercept: bool = param(True, "add a constant to each output; it has no penalty")


class LinearNet(nn.Module):
    """A weight for each number and one for each code of each column, summed, for each output. All of them start at 0.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, n_outputs]``.
    """

    def __init__(self, ingress: Ingress, n_outputs: int, config: LinearConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_outputs, ingress.n_num)) if ingress.n_num else None
        # A vector of n_outputs for each code is what the weights of its one-hot columns are, without the columns.
        self.codes = CodeEmbedding(ingress.cardinalities, [n_outputs] * ingress.n_cat, std=0.0) if ingress.n_cat else None
        self.bias = nn.Parameter(torch.zeros(n_outputs)) if config.intercept else None
        self.parts = ingress.n_cat, n_outputs

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        terms = []
        if self.weight is not None and num is not None:
            terms.append(nn.functional.linear(num, self.weight, self.bias))
        if self.codes is not None and cat is not None:
            terms.append(self.codes(cat).reshape(-1, *self.parts).sum(dim=1))
            if self.weight is None and self.bias is not None:
                terms.append(self.bias)
        return terms[0] if len(terms) == 1 else terms[0] + terms[1]


@stacked_form(LinearNet)
class StackedLinearNet(Form):
    """As a layer of many units, of which each model has its own."""

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """From ``[k, N, n_num]`` and ``[k, N, n_cat]`` to ``[k, N, n_outputs]``."""
        layer, terms = self.layer, []
        bias = None if layer.bias is None else layer.bias.unsqueeze(1)
        if layer.weight is not None and num is not None:
            weight = layer.weight.mT
            terms.append(torch.bmm(num, weight) if bias is None else torch.baddbmm(bias, num, weight))
        if layer.codes is not None and cat is not None:
            terms.append(layer.codes(cat).unflatten(-1, layer.parts).sum(dim=-2))
            if layer.weight is None and bias is not None:
                terms.append(bias)
        return terms[0] if len(terms) == 1 else terms[0] + terms[1]


def build_linear(schema: Schema, config: LinearConfig) -> nn.Module:
    """The network for a schema whose ingress is set."""
    assert schema.ingress is not None
    return LinearNet(schema.ingress, schema.n_outputs, config)


class Linear(NetworkLearner):
    """Learner ``linear``."""

    name: ClassVar[str] = "linear"
    architecture = staticmethod(build_linear)
    architecture_config = LinearConfig
    defaults: Mapping[str, Any] = {
        # Bent numbers and numbers of both forms of an ordered column would not make a linear model of the columns.
        "num_scaler": "standard",
        "smooth_clip": False,
        "ordered_encoding": "rank",
        "lr": 0.05,
        "warmup": 0.0,
        "ema": 0.0,
        "weight_decay": 0.0,
        # The loss has one minimum: training ends there and not where the validation rows stop to gain.
        "patience": None,
    }

    without: Mapping[str, str] = {
        "dropout_schedule": "it has no dropout",
        "lr_layer_decay": "it has one layer",
        "norm_statistics": "it has no batch norm",
    }

    @classmethod
    def choose(cls, config: Any, train_config: TrainConfig, schema: Schema, n_rows: int) -> tuple[Any, TrainConfig]:
        """The penalty that scikit-learn's defaults C = 1 and alpha = 1 are, and enough steps to converge."""
        if train_config.l2 is None:
            train_config = dataclasses.replace(train_config, l2=usual_l2(schema, n_rows))
        max_epochs = train_config.max_epochs
        train_config = choose_training(train_config, schema, n_rows)
        assert train_config.batch_size is not None
        if max_epochs is None:
            n_steps = max(1, n_rows // train_config.batch_size)
            low, high = EPOCHS
            train_config = dataclasses.replace(train_config, max_epochs=min(high, max(low, math.ceil(ENOUGH_STEPS / n_steps))))
        return config, train_config


def usual_l2(schema: Schema, n_rows: int) -> float:
    """Penalty on the mean loss that is ``alpha = 1`` of scikit-learn's ``Ridge`` or ``C = 1`` of its ``LogisticRegression``.

    Of two classes scikit-learn has one weight for the difference of their logits, whose square is twice that of two opposite
    halves.
    """
    n_outputs = schema.target.n_outputs
    if schema.target.type == "regression":
        return 1 / (n_rows * n_outputs)
    return 1 / n_rows if n_outputs == 2 else 0.5 / n_rows
