"""RealMLP: a multilayer perceptron with tuned defaults.

Holzmüller, Grinsztajn and Steinwart (2024), "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data",
section 3 and appendix A: RealMLP-TD. Its simplified variant RealMLP-TD-S is ``initialization="normal"``,
``num_embedding="none"``, ``parametric_activation=False``, ``dropout=0``, ``weight_decay=0``, ``cat_encoding="onehot"``,
``target_clip=False``, and in regression ``lr=0.07``.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from onnxlearn.effects import at_least, other_than
from onnxlearn.params import param
from onnxlearn.preprocess.config import AS_CODES
from onnxlearn.preprocess.scaling import locate
from onnxlearn.schema import Schema
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.layers.fused import may_fuse
from onnxlearn_models.layers.numeric import NUM_EMBEDDINGS, NumEmbeddingConfig, build_num_embedding, embedded_kinds
from onnxlearn_models.layers.parametric import FAST, ParametricBlock, train_blocks
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.stacked.layers import Form, stacked_form
from onnxlearn_models.training.config import TrainConfig, choose_training
from onnxlearn_models.training.optimizer import Group

# Rows that set the initial weights: more would take time and memory alone.
# DIFF: the authors' package pytabkit takes as many as one gigabyte holds.
INITIAL_ROWS = 10_000
# A standard deviation below this share of the largest value is rounding.
SMALLEST_STD = 1e-5
# Rows whose random mean a unit's bias begins at.
N_SIMPLEX = 5

HIDDEN = {"n_blocks": at_least(1)}


@dataclass(frozen=True, kw_only=True)
class RealMLPConfig(NumEmbeddingConfig):
    """Shape of the network, where it begins and how fast its parts learn."""

    n_blocks: int = param(3, "hidden layers", low=0)
    d_block: int = param(256, "units of a hidden layer", low=1, when=HIDDEN)
    dropout: float = param(0.15, "share of units dropped after each hidden layer", low=0, high=0.95, when=HIDDEN)
    activation: str | None = param(
        None, "activation function (None: selu, in regression mish)", choices=ACTIVATIONS, when=HIDDEN
    )
    parametric_activation: bool = param(True, "learn for each unit how much of the activation function it takes", when=HIDDEN)
    num_embedding: str = param("pbld", "embedding of numbers, beside the numbers", choices=NUM_EMBEDDINGS, on="numbers")
    d_embedding: int = param(8, "width of the embedding of a category", low=1, when=AS_CODES, on="categories")
    scale_layer: bool = param(True, "learn a factor for each input of the first layer")
    initialization: Literal["data", "normal"] = param(
        "data", "data: the training rows make units of deviation 1, bent near some of the rows; normal: random, the output 0"
    )
    scale_lr: float = param(6.0, "factor on the learning rate of scale_layer", low=0, when={"scale_layer": True})
    bias_lr: float = param(0.1, "factor on the learning rate of biases", low=0)
    activation_lr: float = param(
        0.1, "factor on the learning rate of parametric_activation", low=0, when={"parametric_activation": True, **HIDDEN}
    )
    num_embedding_lr: float = param(
        0.1, "factor on the learning rate of num_embedding", low=0, on="numbers",
        when={"num_embedding": other_than("none")},
    )  # fmt: skip


class PlainBlock(nn.Module):
    """Linear map, activation, dropout."""

    def __init__(self, d_in: int, d_out: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, d_out)
        self.activation = ACTIVATIONS[activation]()
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, d_in]`` to ``[N, d_out]``."""
        output: Tensor = self.dropout(self.activation(self.linear(x)))
        return output


class FlagScaling(nn.Module):
    """Flags as the paper has them: a pair of one-hot columns as one column of 1 and -1, then robust scaling and smooth clip.

    A flag is -1, 0 or 1, and the parabola through what the three become is all that is left to compute. ``pairs``: the columns
    of the first and the second of two levels; the merged columns come first. ``forward(flags)``: float32 ``[N, n_flags]`` gives
    ``[N, n_flags - len(pairs)]``.
    """

    first: Tensor
    second: Tensor
    single: Tensor
    constant: Tensor
    linear: Tensor
    square: Tensor

    def __init__(self, n_flags: int, pairs: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.has_pairs = bool(pairs)
        paired = {column for pair in pairs for column in pair}
        self.register_buffer("first", torch.tensor([first for first, _ in pairs], dtype=torch.int64))
        self.register_buffer("second", torch.tensor([second for _, second in pairs], dtype=torch.int64))
        self.register_buffer("single", torch.tensor([i for i in range(n_flags) if i not in paired], dtype=torch.int64))
        for name, value in (("constant", 0.0), ("linear", 1.0), ("square", 0.0)):
            self.register_buffer(name, torch.full((n_flags - len(pairs),), value))

    def forward(self, flags: Tensor) -> Tensor:
        """Merge and scale."""
        x = self.merge(flags)
        return torch.addcmul(self.constant, x, torch.addcmul(self.linear, x, self.square))

    def merge(self, flags: Tensor) -> Tensor:
        """One column for the two of a pair, 1 and -1; ``[..., n_flags]``."""
        if not self.has_pairs:
            return flags
        merged = flags.index_select(-1, self.first) - flags.index_select(-1, self.second)
        return torch.cat([merged, flags.index_select(-1, self.single)], dim=-1)

    @torch.no_grad()
    def fit(self, flags: Tensor) -> None:
        """Set median and scale by the training rows; a column that does not vary becomes 0."""
        columns = self.merge(flags).double().cpu().numpy().T
        for i, column in enumerate(columns):
            center, scale = locate(column, "robust")
            low, middle, high = (smooth_clip((flag - center) / scale) if scale else 0.0 for flag in (-1, 0, 1))
            self.constant[i], self.linear[i], self.square[i] = middle, (high - low) / 2, (high + low) / 2 - middle


@stacked_form(FlagScaling)
class StackedFlagScaling(Form):
    """The same flags of every model are merged."""

    def forward(self, flags: Tensor) -> Tensor:
        """From ``[k, N, n_flags]`` to ``[k, N, n_flags - len(pairs)]``."""
        layer, x = self.layer, self.layers[0].merge(flags)
        constant, linear, square = (tensor.unsqueeze(1) for tensor in (layer.constant, layer.linear, layer.square))
        return torch.addcmul(constant, x, torch.addcmul(linear, x, square))


def smooth_clip(x: float) -> float:
    """``x`` bent into (-3, 3).

    >>> [round(smooth_clip(x), 3) for x in (0.5, -2, 100)]
    [0.493, -1.664, 2.999]
    """
    return x / math.sqrt(1 + (x / 3) ** 2)


class RealMLPNet(nn.Module):
    """Scaled inputs, hidden layers, output layer; ``forward(num, cat)`` gives ``[N, n_outputs]``.

    The paper's weights are ``sqrt(d)`` times these, where ``d`` is the width of what they multiply, and each pass divides by it
    (neural tangent parametrization). Adam does not see the scale of a gradient: a learning rate divided by ``sqrt(d)``, which
    :meth:`groups` gives them, does the same.
    """

    # Of more rows the hidden layers do not stay in a core's cache.
    evaluation_rows = 256

    def __init__(self, schema: Schema, config: RealMLPConfig) -> None:
        super().__init__()
        ingress, n_outputs = schema.ingress, schema.n_outputs
        assert ingress is not None
        self.config = config
        self.n_numeric = len(embedded_kinds(ingress))
        self.num_embedding = build_num_embedding(ingress, config)
        n_flags, pairs = ingress.n_num - self.n_numeric, binary_pairs(schema)
        self.flags = FlagScaling(n_flags, pairs) if n_flags else None
        d_embeddings = [config.d_embedding] * ingress.n_cat
        self.embedding = CodeEmbedding(ingress.cardinalities, d_embeddings) if d_embeddings else None
        d_in = self.n_numeric + n_flags - len(pairs) + sum(d_embeddings)
        if self.num_embedding is not None:
            d_in += self.num_embedding.d_out
        self.scale = nn.Parameter(torch.ones(d_in)) if config.scale_layer else None
        assert config.activation is not None
        make = ParametricBlock if config.parametric_activation else PlainBlock
        widths = [d_in, *[config.d_block] * config.n_blocks]
        blocks = [make(*pair, config.activation, config.dropout) for pair in itertools.pairwise(widths)]
        self.hidden = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1], n_outputs)
        self.fast = FAST.get(config.activation) if config.parametric_activation else None
        for block in blocks:
            nn.init.normal_(block.linear.weight, std=block.linear.in_features**-0.5)
            nn.init.normal_(block.linear.bias)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        x = self._inputs(num, cat)
        if self.training and self.fast is not None and x.ndim == 2 and may_fuse(x):
            blocks = [block for block in self.blocks() if isinstance(block, ParametricBlock)]
            return train_blocks(x, self.scale, blocks, self.head, self.fast)
        output: Tensor = self.head(self.hidden(x if self.scale is None else x * self.scale))
        return output

    def _inputs(self, num: Tensor | None, cat: Tensor | None) -> Tensor:
        """What enters the first layer once it is scaled, ``[N, d_in]``."""
        parts = []
        if num is not None and self.n_numeric:
            numbers = num[..., : self.n_numeric]
            if self.num_embedding is not None:
                parts.append(self.num_embedding(numbers).flatten(-2))
            parts.append(numbers)
        if num is not None and self.flags is not None:
            parts.append(self.flags(num[..., self.n_numeric :]))
        if cat is not None and self.embedding is not None:
            parts.append(self.embedding(cat))
        return torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]

    @torch.no_grad()
    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Fit what the training rows set: the scaling of flags and, unless they are ``normal``, weights and biases."""
        num, cat = inputs.get("num"), inputs.get("cat")
        if num is not None and self.num_embedding is not None:
            self.num_embedding.initialize(num[:, : self.n_numeric])
        if num is not None and self.flags is not None:
            self.flags.fit(num[:, self.n_numeric :])
        if self.config.initialization == "data":
            rows = torch.randperm(len(next(iter(inputs.values()))))[:INITIAL_ROWS].to(self.head.weight.device)
            x = self._inputs(None if num is None else num[rows], None if cat is None else cat[rows])
            for block in self.blocks():
                x = block.activation(spread(block.linear, x))
            spread(self.head, x)

    def blocks(self) -> list[ParametricBlock | PlainBlock]:
        """The hidden layers."""
        return [block for block in self.hidden if isinstance(block, ParametricBlock | PlainBlock)]

    def groups(self, train: TrainConfig) -> list[Group]:
        """The parameters by learning rate and weight decay.

        Decoupled weight decay is multiplied by the learning rate, and so by its factor. The code of the paper multiplies by the
        factor once more.
        """
        config, decay = self.config, train.weight_decay
        linears = [*(block.linear for block in self.blocks()), self.head]
        shares = [block.activation.share for block in self.blocks() if isinstance(block, ParametricBlock)]
        embedding_decay = decay if train.embedding_weight_decay is None else train.embedding_weight_decay
        rows: list[tuple[Sequence[Any], float, float]] = [
            ([linear.bias for linear in linears], config.bias_lr, 0.0),
            ([] if self.scale is None else [self.scale], config.scale_lr, decay * config.scale_lr),
            (shares, config.activation_lr, decay * config.activation_lr),
            (_parameters(self.num_embedding), config.num_embedding_lr, decay * config.num_embedding_lr),
            (_parameters(self.embedding), train.embedding_lr, embedding_decay * train.embedding_lr),
        ]
        for linear in linears:
            root = math.sqrt(linear.in_features)
            rows.append(([linear.weight], 1 / root, decay * root))
        alike: dict[tuple[float, float], list[nn.Parameter]] = {}
        for parameters, lr, weight_decay in rows:
            alike.setdefault((lr, weight_decay), []).extend(parameters)
        return [
            Group(parameters=tuple(parameters), lr_factor=lr, weight_decay=weight_decay)
            for (lr, weight_decay), parameters in alike.items()
            if parameters
        ]


@torch.no_grad()
def spread(linear: nn.Linear, x: Tensor) -> Tensor:
    """Set a linear map such that each of its outputs ``[N, d_out]`` has standard deviation 1 on these rows; those outputs.

    A unit's bias is minus a random mean of its outputs for some of the rows ("he+5": Steinwart 2019, "A Sober Look at Neural
    Network Initializations"), so that it bends among them.
    """
    weight = torch.randn(linear.in_features, linear.out_features, device=x.device, dtype=x.dtype) / linear.in_features**0.5
    output: Tensor = x @ weight
    # Twenty times as fast as torch's std over rows.
    std = (output - output.mean(dim=0)).square_().mean(dim=0).sqrt()
    # Inputs that do not vary give nothing to go by.
    std = torch.where(std > SMALLEST_STD * output.abs().amax(dim=0), std, 1.0)
    output = output / std
    rows = torch.randint(len(x), (N_SIMPLEX, linear.out_features), device=x.device)
    share = torch.empty(rows.shape, device=x.device, dtype=x.dtype).exponential_()
    bias = -(output.gather(0, rows) * share).sum(dim=0) / share.sum(dim=0)
    linear.weight.copy_((weight / std).T)
    linear.bias.copy_(bias)
    return output.add_(bias)


def binary_pairs(schema: Schema) -> list[tuple[int, int]]:
    """Flags, counted from the first of them, that are the one-hot columns of a feature with two levels.

    >>> from onnxlearn.schema import Column, Ingress, Target
    >>> sex = Column(name="sex", kind="categorical", dtype="str", levels=("f", "m"))
    >>> ingress = Ingress(num_names=("x", "x:missing", "sex=f", "sex=m"), num_kinds=("number", "flag", "flag", "flag"))
    >>> target = Target(names=("y",), type="regression", dtype="float64")
    >>> binary_pairs(Schema(name="t", features=(sex,), target=target, ingress=ingress))
    [(1, 2)]
    """
    assert schema.ingress is not None
    flags = schema.ingress.num_names[len(embedded_kinds(schema.ingress)) :]
    binary = [column for column in schema.of_kind("categorical", "ordered") if len(column.levels) == 2]
    names = {tuple(f"{column.name}={level}" for level in column.levels) for column in binary}
    return [(i, i + 1) for i in range(len(flags) - 1) if flags[i : i + 2] in names]


def _parameters(module: nn.Module | None) -> list[nn.Parameter]:
    return [] if module is None else list(module.parameters())


def build_realmlp(schema: Schema, config: RealMLPConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator.

    >>> from onnxlearn.schema import Ingress, Target
    >>> target = Target(names=("y",), type="regression", dtype="float64")
    >>> ingress = Ingress(num_names=("x",), num_kinds=("number",), cat_names=("c",), cardinalities=(11,))
    >>> schema = Schema(name="t", features=(), target=target, ingress=ingress)
    >>> build_realmlp(schema, RealMLPConfig(activation="mish"))(torch.zeros(4, 1), torch.zeros(4, 1, dtype=torch.int64)).shape
    torch.Size([4, 1])
    """
    return RealMLPNet(schema, config)


class RealMLP(NetworkLearner):
    """Learner ``realmlp``."""

    name: ClassVar[str] = "realmlp"
    architecture = staticmethod(build_realmlp)
    architecture_config = RealMLPConfig
    # DIFF: the columns that enter are those of every learner here. In pytabkit
    # - numbers must not be missing; here the median stands for them, beside a flag (num_impute, missing_indicator);
    # - missing and unseen categories are one code, zeros where it is one-hot; here missing ones have a flag or a vector of
    #   their own;
    # - every level is told apart; here those with few training rows count as unseen (min_level_rows=1: none);
    # - ordered categories are categories; here their ranks enter too, as numbers (ordered_encoding="categorical": they do not);
    # - dates are left out, with a warning; here their parts are numbers, months, weekdays and hours also points on a circle
    #   (datetime_parts), and the frequencies that embed them start from a wide range of scales instead of 0.1.
    # DIFF: the paper chooses the epoch by accuracy and smooths labels by 0.1 (monitor="score", label_smoothing=0.1). This is
    # what its authors advise for the log loss. On small tables a little smoothing can still give better probabilities.
    defaults: Mapping[str, Any] = {
        "num_scaler": "robust",
        "smooth_clip": True,
        "max_onehot": 8,  # and missing, the ninth
        "target_scaler": "standard",
        "target_clip": True,
        "max_epochs": 256,
        "patience": None,
        "validation": 0.2,
        "batch_size": 256,
        "dropout_schedule": "fade",
        "schedule": "coslog4",
        "warmup": 0.0,
        "opt_beta2": 0.95,
        "weight_decay": 0.02,
        "weight_decay_schedule": "fade",
        "ema": 0.0,
        "monitor": "loss",
        "label_smoothing": 0.0,
    }
    without: Mapping[str, str] = {
        **dict.fromkeys(("l1", "l2"), "its parts learn at rates of their own; use weight_decay"),
        "norm_statistics": "it has no batch norm",
    }

    @classmethod
    def choose(cls, config: Any, train_config: TrainConfig, schema: Schema, n_rows: int) -> tuple[Any, TrainConfig]:
        """Activation and learning rate that suit the task."""
        classes = schema.target.type == "classification"
        if config.activation is None:
            config = dataclasses.replace(config, activation="selu" if classes else "mish")
        if train_config.lr is None:
            train_config = dataclasses.replace(train_config, lr=0.04 if classes else 0.2)
        return config, choose_training(train_config, schema, n_rows)

    @classmethod
    def parameter_groups(cls, module: nn.Module, config: TrainConfig) -> list[Group]:
        """Every kind of parameter at a rate of its own."""
        del cls
        assert isinstance(module, RealMLPNet)
        return module.groups(config)
