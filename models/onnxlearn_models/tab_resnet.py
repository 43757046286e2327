"""The residual network for tables.

Gorishniy et al. (2021), "Revisiting Deep Learning Models for Tabular Data", section 3.2 (ResNet).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from onnxlearn.params import param
from onnxlearn.schema import Ingress, Schema
from onnxlearn_models.layers.activation import ACTIVATIONS, GATED, PLAIN_OR_GATED
from onnxlearn_models.layers.dense import dense
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.inputs import FlatInputs, FlatInputsConfig
from onnxlearn_models.layers.norm import NORMS
from onnxlearn_models.layers.width import hidden_width, require_one_width
from onnxlearn_models.network_learner import NetworkLearner


@dataclass(frozen=True, kw_only=True)
class TabResNetConfig(FlatInputsConfig):
    """Shape of the network."""

    n_blocks: int = param(2, "residual blocks", low=1)
    d_block: int = param(192, "width between the blocks", low=1)
    d_hidden: int | None = param(None, "width inside a block (None: d_block times d_hidden_multiplier)", low=1)
    d_hidden_multiplier: float | None = param(
        None, "d_hidden as a multiple of d_block (None: 2)", low=0, low_open=True, high=100
    )
    dropout1: float = param(0.15, "share of the units inside a block dropped", low=0, high=0.95)
    dropout2: float = param(0.0, "share of the units dropped that a block adds", low=0, high=0.95)
    activation: str = param("relu", "activation function of the blocks", choices=PLAIN_OR_GATED)
    norm: str = param("batch", "normalization at the beginning of each block and before the output layer", choices=NORMS)

    def __post_init__(self) -> None:
        require_one_width("d_hidden", self.d_hidden, self.d_hidden_multiplier)


class Block(nn.Module):
    """What a block adds: norm, linear, activation, dropout, linear, dropout."""

    def __init__(self, config: TabResNetConfig) -> None:
        super().__init__()
        d_hidden = hidden_width(config.d_block, config.d_hidden, config.d_hidden_multiplier, 2)
        self.norm = NORMS[config.norm](config.d_block)
        # A gated activation halves the width.
        self.linear1 = nn.Linear(config.d_block, d_hidden * (2 if config.activation in GATED else 1))
        self.activation = PLAIN_OR_GATED[config.activation]()
        self.dropout1 = Dropout(config.dropout1)
        self.linear2 = nn.Linear(d_hidden, config.d_block)
        self.dropout2 = Dropout(config.dropout2)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, d_block]`` to ``[N, d_block]``."""
        return dense(x, self.norm, self.linear1, self.activation, self.dropout1, self.linear2, self.dropout2)


class TabResNetNet(nn.Module):
    """Inputs, linear layer, residual blocks, norm, activation, output layer; ``forward(num, cat)`` gives ``[N, n_outputs]``."""

    def __init__(self, ingress: Ingress, n_outputs: int, config: TabResNetConfig) -> None:
        super().__init__()
        self.inputs = FlatInputs(ingress, config)
        self.projection = nn.Linear(self.inputs.d_out, config.d_block)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        self.norm = NORMS[config.norm](config.d_block)
        self.activation = ACTIVATIONS["relu" if config.activation in GATED else config.activation]()
        self.head = nn.Linear(config.d_block, n_outputs)

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set up what depends on the training rows."""
        self.inputs.initialize(inputs)

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        x = dense(self.inputs(num, cat), self.projection)
        for block in self.blocks:
            x = x + block(x)
        return dense(x, self.norm, self.activation, self.head)


def build_tab_resnet(schema: Schema, config: TabResNetConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
    assert schema.ingress is not None
    return TabResNetNet(schema.ingress, schema.n_outputs, config)


class TabResNet(NetworkLearner):
    """Learner ``tab_resnet``.

    DIFF: preprocessing and training are those of all learners, robust scaling with a learning rate by the number of rows. The
    paper's quantiles and its rate of 1e-3 were no better on small tables, averaged weights were.
    """

    name: ClassVar[str] = "tab_resnet"
    architecture = staticmethod(build_tab_resnet)
    architecture_config = TabResNetConfig
