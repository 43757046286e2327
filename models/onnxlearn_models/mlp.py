"""The multilayer perceptron with entity embeddings.

The baseline that Gorishniy et al. (2021), "Revisiting Deep Learning Models for Tabular Data", section 3.1, call MLP, with
the embeddings of Guo and Berkhahn (2016) for categories of many levels and periodic embeddings of numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from onnxlearn.effects import at_least
from onnxlearn.params import param
from onnxlearn.schema import Ingress, Schema
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.block import dense_block
from onnxlearn_models.layers.dense import dense
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.inputs import FlatInputs, FlatInputsConfig
from onnxlearn_models.layers.norm import NORMS
from onnxlearn_models.layers.numeric import NUM_EMBEDDINGS
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.training.config import MANY_ROWS, TrainConfig, choose_training

HIDDEN = {"n_blocks": at_least(1)}


@dataclass(frozen=True, kw_only=True)
class MLPConfig(FlatInputsConfig):
    """Shape of the network."""

    n_blocks: int = param(3, "hidden layers", low=0)
    d_block: int = param(256, "units of a hidden layer", low=1, when=HIDDEN)
    dropout: float | None = param(
        None, "share of units dropped after each hidden layer (None: 0.3, in regression 0.15, or 0 with 8,000 rows)",
        low=0, high=0.95, when=HIDDEN,
    )  # fmt: skip
    input_dropout: float = param(0.0, "share of the inputs of the first layer dropped", low=0, high=0.95)
    activation: str = param("relu", "activation function", choices=ACTIVATIONS, when=HIDDEN)
    norm: str = param("none", "normalization before each activation", choices=NORMS, when=HIDDEN)
    num_embedding: str = param("pbld", "embedding of numbers, beside the numbers", choices=NUM_EMBEDDINGS, on="numbers")
    linear_path: bool = param(False, "add a linear map from the inputs to the output, past the hidden layers")


class MLPNet(nn.Module):
    """Numbers and embeddings, hidden layers, output layer.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, n_outputs]``.
    """

    def __init__(self, ingress: Ingress, n_outputs: int, config: MLPConfig) -> None:
        super().__init__()
        self.inputs = FlatInputs(ingress, config)
        d_in = self.inputs.d_out
        parts: list[nn.Module] = [Dropout(config.input_dropout)] if config.input_dropout else []
        for i in range(config.n_blocks):
            d_before = config.d_block if i else d_in
            parts += dense_block(
                d_before, config.d_block, activation=config.activation, norm=config.norm, dropout=config.dropout or 0.0
            )
        self.blocks = nn.Sequential(*parts)
        self.head = nn.Linear(config.d_block if config.n_blocks else d_in, n_outputs)
        self.linear_path = nn.Linear(d_in, n_outputs, bias=False) if config.linear_path else None

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set up what depends on the training rows."""
        self.inputs.initialize(inputs)

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        x = self.inputs(num, cat)
        output = dense(x, self.blocks, self.head)
        return output if self.linear_path is None else output + self.linear_path(x)


def build_mlp(schema: Schema, config: MLPConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator.

    >>> import torch
    >>> from onnxlearn.schema import Target
    >>> target = Target(names=("y",), type="regression", dtype="float64")
    >>> ingress = Ingress(num_names=("x",), cat_names=("c",), cardinalities=(9,))
    >>> schema = Schema(name="t", features=(), target=target, ingress=ingress)
    >>> build_mlp(schema, MLPConfig())(torch.zeros(4, 1), torch.zeros(4, 1, dtype=torch.int64)).shape
    torch.Size([4, 1])
    """
    assert schema.ingress is not None
    return MLPNet(schema.ingress, schema.n_outputs, config)


class MLP(NetworkLearner):
    """Learner ``mlp``."""

    name: ClassVar[str] = "mlp"
    architecture = staticmethod(build_mlp)
    architecture_config = MLPConfig

    @classmethod
    def choose(cls, config: Any, train_config: TrainConfig, schema: Schema, n_rows: int) -> tuple[Any, TrainConfig]:
        """Dropout that suits the task; what dropout helps a small regression with, it needs only at first."""
        train_config = choose_training(train_config, schema, n_rows)
        if config.dropout is not None or not config.n_blocks:
            return config, train_config
        regression, big = schema.target.type == "regression", n_rows >= MANY_ROWS
        if regression and not big and train_config.dropout_schedule is None:
            train_config = dataclasses.replace(train_config, dropout_schedule="fade")
        dropout = 0.3 if not regression else 0.0 if big else 0.15
        return dataclasses.replace(config, dropout=dropout), train_config
