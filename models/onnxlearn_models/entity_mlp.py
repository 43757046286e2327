"""The multilayer perceptron on entity embeddings of mlr3keras (its learner ``kerasff``).

Guo and Berkhahn (2016), "Entity Embeddings of Categorical Variables". Beside ``mlp`` it has layers of any width, embeds all
categories and normalizes numbers in the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from onnxlearn.effects import Values
from onnxlearn.errors import ParameterError
from onnxlearn.params import param
from onnxlearn.schema import Ingress, Schema
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dense import dense
from onnxlearn_models.layers.entity import EntityConfig, EntityNet, hidden_layers
from onnxlearn_models.layers.initializer import start_linear
from onnxlearn_models.layers.norm import NORMS
from onnxlearn_models.network_learner import NetworkLearner

HIDDEN = {"layer_units": Values(" of one layer at least", bool)}


@dataclass(frozen=True, kw_only=True)
class EntityMLPConfig(EntityConfig):
    """Shape of the network."""

    layer_units: tuple[int, ...] = param((32, 32, 32), "units of each hidden layer; none: a linear model")
    norm: str = param("none", "normalization after each activation", choices=NORMS, when=HIDDEN)
    dropout: float = param(0.0, "share of units dropped after each hidden layer", low=0, high=0.95, when=HIDDEN)
    activation: str = param("relu", "activation function", choices=ACTIVATIONS, when=HIDDEN)

    def __post_init__(self) -> None:
        require_units(self.layer_units)


def require_units(layer_units: tuple[int, ...]) -> None:
    """Raise ``ParameterError`` unless every layer has units."""
    if any(units < 1 for units in layer_units):
        raise ParameterError(f"layer_units has to be a list of numbers >= 1, not {list(layer_units)}")


class EntityMLPNet(EntityNet):
    """Embeddings and normalized numbers, hidden layers, output layer.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, n_outputs]``.
    """

    def __init__(self, ingress: Ingress, n_outputs: int, config: EntityMLPConfig) -> None:
        super().__init__(ingress, config)
        dropouts = [config.dropout] * len(config.layer_units)
        self.blocks = hidden_layers(
            self.inputs.d_out, config.layer_units, dropouts, activation=config.activation, norm=config.norm
        )
        self.head = nn.Linear((self.inputs.d_out, *config.layer_units)[-1], n_outputs)
        start_linear(config.initializer, self.blocks, self.head)

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        return dense(self.inputs(num, cat), self.blocks, self.head)


def build_entity_mlp(schema: Schema, config: EntityMLPConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
    assert schema.ingress is not None
    return EntityMLPNet(schema.ingress, schema.n_outputs, config)


class EntityMLP(NetworkLearner):
    """Learner ``entity_mlp``."""

    name: ClassVar[str] = "entity_mlp"
    architecture = staticmethod(build_entity_mlp)
    architecture_config = EntityMLPConfig
    # DIFF: mlr3keras trains at 3e-4 with penalties l1 = l2 = 0.01, which so small a network does not learn much with.
    defaults: Mapping[str, Any] = {"cat_encoding": "embedding", "lr": 5e-3}
