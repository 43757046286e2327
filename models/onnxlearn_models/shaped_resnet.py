"""The shaped residual network of Auto-PyTorch Tabular and of mlr3keras (its learner ``smlp2``).

Zimmer, Lindauer and Hutter (2021), "Auto-PyTorch Tabular", search space 2, with its shake-shake and shake-drop, which
mlr3keras lacks; ``mixup`` is a setting of the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from onnxlearn.effects import above, at_least
from onnxlearn.params import param
from onnxlearn.schema import Ingress, Schema
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.entity import EntityConfig, EntityNet
from onnxlearn_models.layers.initializer import start_linear
from onnxlearn_models.layers.norm import NORMS
from onnxlearn_models.layers.shake import ShakeDrop, ShakeShake, drop_probabilities
from onnxlearn_models.layers.shape import SHAPES, shaped_dropouts, shaped_widths
from onnxlearn_models.network_learner import NetworkLearner

GROUPS = {"n_layers": at_least(3)}


@dataclass(frozen=True, kw_only=True)
class ShapedResNetConfig(EntityConfig):
    """Shape of the network."""

    # DIFF: mlr3keras has 3 layers, which is a single residual block, and no dropout. On small tables that is as good (RMSE of
    # scikit-learn's diabetes 56.1 against 55.8, log loss of its breast cancer 0.093 against 0.094).
    n_layers: int = param(4, "layers: the first linear one, the groups of residual blocks, the output layer", low=1)
    n_blocks: int = param(1, "residual blocks of each group", low=1, when=GROUPS)
    n_max: int = param(128, "units of the widest layer", low=1, when={"n_layers": at_least(2)})
    shape: str = param("funnel", "how the widths go from group to group", choices=SHAPES, when=GROUPS)
    norm: str = param("batch", "normalization before each activation", choices=NORMS)
    dropout: float = param(0.2, "largest share of units dropped inside a residual block", low=0, high=0.95, when=GROUPS)
    dropout_shape: str = param(
        "funnel", "how that share goes from group to group", choices=SHAPES,
        when={"n_layers": at_least(4), "dropout": above(0)},
    )  # fmt: skip
    shake_drop: float = param(0.5, "probability of shaking the last block; earlier ones have less", low=0, high=1, when=GROUPS)
    shake_shake: bool = param(True, "two branches in each block, combined at random", when=GROUPS)


class ResidualBlock(nn.Module):
    """``skip(x) + branch(x)``; the branch is norm, activation, linear, norm, activation, dropout, linear."""

    def __init__(self, d_in: int, d_out: int, dropout: float, shake_drop: float, config: ShapedResNetConfig) -> None:
        super().__init__()
        # DIFF: mlr3keras also has a linear skip where the width stays; without one, as in the paper, deep ones train.
        self.skip = nn.Linear(d_in, d_out) if d_in != d_out else nn.Identity()
        self.branch = _branch(d_in, d_out, dropout, config)
        self.other = _branch(d_in, d_out, dropout, config) if config.shake_shake else None
        self.shake_shake = ShakeShake()
        self.shake_drop = ShakeDrop(shake_drop) if shake_drop else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, d_in]`` to ``[N, d_out]``."""
        change = self.branch(x) if self.other is None else self.shake_shake(self.branch(x), self.other(x))
        output: Tensor = self.skip(x) + self.shake_drop(change)
        return output


def _branch(d_in: int, d_out: int, dropout: float, config: ShapedResNetConfig) -> nn.Sequential:
    return nn.Sequential(
        NORMS[config.norm](d_in),
        ACTIVATIONS[config.activation](),
        nn.Linear(d_in, d_out),
        NORMS[config.norm](d_out),
        ACTIVATIONS[config.activation](),
        Dropout(dropout),
        nn.Linear(d_out, d_out),
    )


class ShapedResNetNet(EntityNet):
    """Embeddings and normalized numbers, a linear layer, residual blocks of shaped widths, norm, activation, output layer.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, n_outputs]``.
    """

    def __init__(self, ingress: Ingress, n_outputs: int, config: ShapedResNetConfig) -> None:
        super().__init__(ingress, config)
        widths = shaped_widths(config.shape, config.n_layers, config.n_max, d_in=self.inputs.d_out, d_out=n_outputs)[:-1]
        self.first = nn.Linear(self.inputs.d_out, widths[0]) if widths else nn.Identity()
        self.blocks = nn.Sequential(*_blocks(widths, config))
        d_last = (self.inputs.d_out, *widths)[-1]
        self.head = nn.Sequential(NORMS[config.norm](d_last), ACTIVATIONS[config.activation](), nn.Linear(d_last, n_outputs))
        start_linear(config.initializer, self.first, self.blocks, self.head)

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        output: Tensor = self.head(self.blocks(self.first(self.inputs(num, cat))))
        return output


def _blocks(widths: list[int], config: ShapedResNetConfig) -> list[nn.Module]:
    """``n_blocks`` for each width after the first."""
    n_groups = max(0, len(widths) - 1)
    dropouts = shaped_dropouts(config.dropout_shape, n_groups + 1, config.dropout)
    shakes = drop_probabilities(n_groups * config.n_blocks, config.shake_drop)
    blocks: list[nn.Module] = []
    for group in range(n_groups):
        for i in range(config.n_blocks):
            d_in = widths[group if i == 0 else group + 1]
            blocks.append(ResidualBlock(d_in, widths[group + 1], dropouts[group], shakes[len(blocks)], config))
    return blocks


def build_shaped_resnet(schema: Schema, config: ShapedResNetConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
    assert schema.ingress is not None
    return ShapedResNetNet(schema.ingress, schema.n_outputs, config)


class ShapedResNet(NetworkLearner):
    """Learner ``shaped_resnet``."""

    name: ClassVar[str] = "shaped_resnet"
    architecture = staticmethod(build_shaped_resnet)
    architecture_config = ShapedResNetConfig
    # DIFF: mlr3keras' learning rate restarts from 0.01 after 10, 20, 40 epochs, and penalties l1 = l2 = 0.01 hold the weights
    # down. Here as in the paper it goes down once.
    defaults: Mapping[str, Any] = {"cat_encoding": "embedding", "optimizer": "sgd", "lr": 0.01}
