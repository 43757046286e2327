"""Wide and deep: a linear model and a multilayer perceptron, added.

Cheng et al. (2016), "Wide & Deep Learning for Recommender Systems", wired as in mlr3keras' ``deep_wide``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from onnxlearn.params import param
from onnxlearn.schema import Ingress, Schema
from onnxlearn_models.entity_mlp import HIDDEN, require_units
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dense import dense
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.entity import EntityConfig, EntityNet
from onnxlearn_models.layers.initializer import start_linear
from onnxlearn_models.layers.norm import NORMS
from onnxlearn_models.network_learner import NetworkLearner


@dataclass(frozen=True, kw_only=True)
class DeepWideConfig(EntityConfig):
    """Shape of the network."""

    layer_units: tuple[int, ...] = param((128, 256), "units of each hidden layer of the deep part")
    norm: str = param("none", "normalization before each layer of the deep part, the last one included", choices=NORMS)
    dropout: float = param(0.0, "share of units dropped before each layer of the deep part", low=0, high=0.95)
    activation: str = param("relu", "activation function", choices=ACTIVATIONS, when=HIDDEN)

    def __post_init__(self) -> None:
        require_units(self.layer_units)


class DeepWideNet(EntityNet):
    """The sum of a linear layer and of hidden layers with an output layer, on the same inputs.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, n_outputs]``.
    """

    def __init__(self, ingress: Ingress, n_outputs: int, config: DeepWideConfig) -> None:
        super().__init__(ingress, config)
        self.wide = nn.Linear(self.inputs.d_out, n_outputs)
        parts: list[nn.Module] = []
        d_in = self.inputs.d_out
        for width in (*config.layer_units, n_outputs):
            parts += [NORMS[config.norm](d_in), Dropout(config.dropout), nn.Linear(d_in, width)]
            parts.append(ACTIVATIONS[config.activation]())
            d_in = width
        self.deep = nn.Sequential(*parts[:-1])
        start_linear(config.initializer, self.wide, self.deep)

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        x = self.inputs(num, cat)
        return dense(x, self.deep) + dense(x, self.wide)


def build_deep_wide(schema: Schema, config: DeepWideConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
    assert schema.ingress is not None
    return DeepWideNet(schema.ingress, schema.n_outputs, config)


class DeepWide(NetworkLearner):
    """Learner ``deep_wide``."""

    name: ClassVar[str] = "deep_wide"
    architecture = staticmethod(build_deep_wide)
    architecture_config = DeepWideConfig
    # DIFF: mlr3keras trains at 3e-4 with penalties l1 = l2 = 0.01 on the deep part, which it then hardly uses.
    defaults: Mapping[str, Any] = {"cat_encoding": "embedding", "lr": 2e-3}
