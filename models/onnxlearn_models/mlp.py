"""The multilayer perceptron with entity embeddings.

The baseline that Gorishniy et al. (2021), "Revisiting Deep Learning Models for Tabular Data", section 3.1, call MLP, with
the embeddings of Guo and Berkhahn (2016) for categories of many levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from onnxlearn.params import param
from onnxlearn.schema import Ingress, Schema
from onnxlearn_models.layers.block import ActivationName, NormName, dense_block
from onnxlearn_models.layers.embedding import CodeEmbedding, embedding_width
from onnxlearn_models.network_learner import NetworkLearner


@dataclass(frozen=True, kw_only=True)
class MLPConfig:
    """Shape of the network."""

    n_blocks: int = param(3, "hidden layers", low=0)
    d_block: int = param(256, "units of a hidden layer", low=1)
    dropout: float = param(0.3, "share of units dropped after each hidden layer", low=0, high=0.95)
    input_dropout: float = param(0.0, "share of the inputs of the first layer dropped", low=0, high=0.95)
    activation: ActivationName = param("relu", "activation function")
    norm: NormName = param("none", "normalization before each activation")
    d_embedding_max: int = param(32, "largest width of an embedding, which is 1.6 n^0.56 for n codes", low=1)
    embedding_std: float = param(0.1, "standard deviation of an embedding's initial values", low=0, low_open=True)
    linear_path: bool = param(False, "add a linear map from the inputs to the output, past the hidden layers")


class MLPNet(nn.Module):
    """Embeddings beside the numbers, hidden layers, output layer.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, n_outputs]``.
    """

    def __init__(self, ingress: Ingress, n_outputs: int, config: MLPConfig) -> None:
        super().__init__()
        widths = [embedding_width(n, config.d_embedding_max) for n in ingress.cardinalities]
        self.embedding = CodeEmbedding(ingress.cardinalities, widths, std=config.embedding_std) if widths else None
        d_in = ingress.n_num + sum(widths)
        parts: list[nn.Module] = [nn.Dropout(config.input_dropout)] if config.input_dropout else []
        for i in range(config.n_blocks):
            d_before = config.d_block if i else d_in
            parts += dense_block(
                d_before, config.d_block, activation=config.activation, norm=config.norm, dropout=config.dropout
            )
        self.blocks = nn.Sequential(*parts)
        self.head = nn.Linear(config.d_block if config.n_blocks else d_in, n_outputs)
        self.linear_path = nn.Linear(d_in, n_outputs, bias=False) if config.linear_path else None

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        inputs = [] if num is None else [num]
        if self.embedding is not None and cat is not None:
            inputs.append(self.embedding(cat))
        x = torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0]
        output: Tensor = self.head(self.blocks(x))
        return output if self.linear_path is None else output + self.linear_path(x)


def build_mlp(schema: Schema, config: MLPConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator.

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
