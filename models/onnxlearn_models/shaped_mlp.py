"""The shaped multilayer perceptron of Auto-PyTorch Tabular and of mlr3keras (its learner ``smlp``).

Zimmer, Lindauer and Hutter (2021), "Auto-PyTorch Tabular", search space 1: the widths of the hidden layers run from
``n_max`` down to the number of outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from onnxlearn.effects import Beside, above, at_least
from onnxlearn.params import param
from onnxlearn.schema import Ingress, Schema
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dense import dense
from onnxlearn_models.layers.entity import EntityConfig, EntityNet, hidden_layers
from onnxlearn_models.layers.initializer import start_linear
from onnxlearn_models.layers.norm import NORMS
from onnxlearn_models.layers.shape import SHAPES, shaped_dropouts, shaped_widths
from onnxlearn_models.network_learner import NetworkLearner

HIDDEN: Beside = ({"n_layers": at_least(2)}, {"bottleneck": True})
# Two hidden layers, the first of which has n_max units in every shape.
SEVERAL: tuple[dict[str, Any], ...] = ({"n_layers": at_least(3)}, {"n_layers": at_least(2), "bottleneck": True})


@dataclass(frozen=True, kw_only=True)
class ShapedMLPConfig(EntityConfig):
    """Shape of the network."""

    # DIFF: mlr3keras has 2. On small tables that is as good (RMSE of scikit-learn's diabetes 55.2 against 55.4, log loss of its
    # breast cancer 0.090 against 0.087).
    n_layers: int = param(4, "linear layers, the output layer included", low=1)
    n_max: int = param(128, "units of the widest layer", low=1, when=HIDDEN)
    shape: str = param("funnel", "how the widths go from layer to layer", choices=SHAPES, when=SEVERAL)
    bottleneck: bool = param(False, "before the output one more hidden layer, of about as many units as there are outputs")
    norm: str = param("none", "normalization after each activation", choices=NORMS, when=HIDDEN)
    dropout: float = param(0.0, "largest share of units dropped after a hidden layer", low=0, high=0.95, when=HIDDEN)
    activation: str = param("relu", "activation function", choices=ACTIVATIONS, when=HIDDEN)
    dropout_shape: str = param(
        "funnel", "how that share goes from layer to layer", choices=SHAPES,
        when=tuple({**layers, "dropout": above(0)} for layers in SEVERAL),
    )  # fmt: skip


class ShapedMLPNet(EntityNet):
    """Embeddings and normalized numbers, hidden layers of shaped widths, output layer.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, n_outputs]``.
    """

    def __init__(self, ingress: Ingress, n_outputs: int, config: ShapedMLPConfig) -> None:
        super().__init__(ingress, config)
        widths = shaped_widths(config.shape, config.n_layers, config.n_max, d_in=self.inputs.d_out, d_out=n_outputs)
        # DIFF: mlr3keras takes all of these widths for hidden layers; few units at the end lose what the others found.
        n_hidden = config.n_layers if config.bottleneck else config.n_layers - 1
        dropouts = shaped_dropouts(config.dropout_shape, config.n_layers, config.dropout)
        self.blocks = hidden_layers(
            self.inputs.d_out, widths[:n_hidden], dropouts[:n_hidden], activation=config.activation, norm=config.norm
        )
        self.head = nn.Linear((self.inputs.d_out, *widths[:n_hidden])[-1], n_outputs)
        start_linear(config.initializer, self.blocks, self.head)

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        return dense(self.inputs(num, cat), self.blocks, self.head)


def build_shaped_mlp(schema: Schema, config: ShapedMLPConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
    assert schema.ingress is not None
    return ShapedMLPNet(schema.ingress, schema.n_outputs, config)


class ShapedMLP(NetworkLearner):
    """Learner ``shaped_mlp``."""

    name: ClassVar[str] = "shaped_mlp"
    architecture = staticmethod(build_shaped_mlp)
    architecture_config = ShapedMLPConfig
    # DIFF: mlr3keras' learning rate restarts from 0.01 after 10, 20, 40 epochs, and penalties l1 = l2 = 0.01 hold the weights
    # down. Here as in the paper it goes down once, from a higher start.
    defaults: Mapping[str, Any] = {"cat_encoding": "embedding", "optimizer": "sgd", "lr": 0.03}
