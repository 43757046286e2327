"""TabM: k multilayer perceptrons that share their weights, trained at once and averaged.

Gorishniy, Kotelnikov and Babenko (2025), "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling". Learner
``tabm`` is the paper's TabM, with piecewise linear embeddings of numbers; ``tabm_mini`` its TabM-mini, whose members differ in
the scaling of their inputs and in their output layers alone.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxlearn.effects import GIVEN, at_least
from onnxlearn.errors import ParameterError
from onnxlearn.networks.layers.dense import embedding_width
from onnxlearn.params import param
from onnxlearn.preprocess.config import AS_CODES
from onnxlearn.schema import Column, Ingress, Schema
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.layers.fused import may_fuse
from onnxlearn_models.layers.fused_members import Workspace, train_members
from onnxlearn_models.layers.members import HiddenLayer, MemberLinear, member_product, random_scaling, shared_product, uniform
from onnxlearn_models.layers.numeric import NUM_EMBEDDINGS, NumEmbeddingConfig, build_num_embedding, embedded_kinds
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.training.config import TrainConfig, choose_training
from onnxlearn_models.training.objective import Objective
from onnxlearn_models.training.optimizer import Group
from onnxlearn_models.training.sampling import even_sizes
from onnxlearn_models.training.tensors import Tensors

# Smallest scaling that the output layer takes over: dividing by less would cost digits.
SMALLEST_SCALE = 1e-3

# Rows whose features are made at a time in training.
FEATURE_ROWS = 1024

# Numbers of one layer, of all members, that are computed at a time without gradients.
EVALUATED = 2**18

# Rows of a batch by the number of training rows.
# DIFF: the paper's authors take 32 to 128 below 6,400 rows. The best epoch is then among the first ones, a coarse choice.
BATCH_SIZES = ((32_000, 256), (108_000, 512))


@dataclass(frozen=True, kw_only=True)
class TabMConfig(NumEmbeddingConfig):
    """Shape of the network, and how its members differ."""

    n_members: int = param(32, "networks that share their weights", low=1)
    sharing: Literal["batch", "mini", "packed"] = param(
        "batch", "a member's own: scalings and biases of every layer, the scaling of its inputs alone, or everything"
    )
    n_blocks: int | None = param(None, "hidden layers (None: 3, or 2 where numbers are embedded)", low=1)
    d_block: int = param(512, "units of a hidden layer", low=1)
    dropout: float = param(0.1, "share of units dropped after each hidden layer", low=0, high=0.95)
    activation: str = param("relu", "activation function", choices=ACTIVATIONS)
    num_embedding: str = param("piecewise_linear", "embedding of numbers", choices=NUM_EMBEDDINGS, on="numbers")
    d_embedding_max: int = param(
        32,
        "largest width of an embedding of a category, which is 1.6 n^0.56 for n codes",
        low=1,
        when=AS_CODES,
        on="categories",
    )
    embedding_std: float = param(
        0.1, "standard deviation of such an embedding's initial values", low=0, low_open=True, when=AS_CODES, on="categories"
    )
    scaling_init: Literal["random_signs", "normal"] | None = param(
        None, "initial scaling of a member's inputs, one number a feature (None: normal where numbers are embedded)",
        when={"sharing": ["batch", "mini"]},
    )  # fmt: skip
    share_batches: bool = param(
        False, "members are trained on the same batches instead of their own", when={"n_members": at_least(2)}
    )
    n_export_members: int | None = param(
        None, "members to export, chosen one by one by the validation loss (None: all)", low=1, when={"validation": GIVEN}
    )

    def __post_init__(self) -> None:
        if self.n_export_members is not None and self.n_export_members > self.n_members:
            raise ParameterError(
                f"n_export_members={self.n_export_members} has to be at most n_members={self.n_members}: choose fewer"
            )


class Features(nn.Module):
    """Embedded numbers, flags and embedded codes side by side.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]`` to ``[N, d_out]``.
    """

    def __init__(self, ingress: Ingress, config: TabMConfig) -> None:
        super().__init__()
        self.n_embedded = len(embedded_kinds(ingress))
        self.num = build_num_embedding(ingress, config)
        self.has_flags = ingress.n_num > self.n_embedded
        widths = [embedding_width(n, config.d_embedding_max) for n in ingress.cardinalities]
        self.cat = CodeEmbedding(ingress.cardinalities, widths, std=config.embedding_std) if widths else None
        number = 1 if self.num is None else self.num.d_embedding
        self.number_widths, self.code_widths = [number] * self.n_embedded, widths
        self.d_out = sum(self.number_widths) + ingress.n_num - self.n_embedded + sum(widths)

    def forward(self, num: Tensor | None, cat: Tensor | None) -> Tensor:
        """Embed what is embedded."""
        blocks = []
        if num is not None:
            if self.num is None:
                blocks.append(num)
            else:
                blocks.append(self.num(num[:, : self.n_embedded]).flatten(1))
                if self.has_flags:
                    blocks.append(num[:, self.n_embedded :])
        if self.cat is not None and cat is not None:
            blocks.append(self.cat(cat))
        return torch.cat(blocks, dim=1) if len(blocks) > 1 else blocks[0]


class TabMNet(nn.Module):
    """Features, hidden layers of all members, an output layer for each.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, k, n_outputs]``. In training the inputs are ``[N, k, ...]`` where ``n_batch_members`` is k: rows of its own for each.

    The parameters stand in lists by layer: ``weight`` and ``bias``, and where members share their weights the scalings ``s``
    of the layers' outputs and ``r`` of the inputs of all but the first, which ``start`` scales.
    """

    def __init__(self, schema: Schema, config: TabMConfig) -> None:
        super().__init__()
        assert schema.ingress is not None
        k, d = config.n_members, config.d_block
        self.features = Features(schema.ingress, config)
        embedded = self.features.num is not None
        n_blocks = config.n_blocks or (2 if embedded else 3)
        self.sharing, self.is_relu = config.sharing, config.activation == "relu"
        self.start: nn.Parameter | None = None
        if self.sharing != "packed":
            normal = embedded if config.scaling_init is None else config.scaling_init == "normal"
            widths = [*self.features.number_widths, *flag_widths(schema), *self.features.code_widths]
            self.start = nn.Parameter(random_scaling(k, widths, normal=normal))
        self.weight, self.bias, self.s, self.r = (nn.ParameterList() for _ in range(4))
        for i in range(n_blocks):
            self._add_layer(k, d if i else self.features.d_out, d)
        self.activation = ACTIVATIONS[config.activation]()
        self.dropout = Dropout(config.dropout)
        self.head = MemberLinear(k, d, schema.n_outputs)
        self.n_batch_members = 1 if config.share_batches else k
        self.evaluation_rows = max(1, EVALUATED // (k * d))
        self.workspace = Workspace()

    def _add_layer(self, k: int, d_in: int, d: int) -> None:
        if self.sharing == "packed":
            self.weight.append(uniform(d_in, k, d, d_in))
            self.bias.append(uniform(d_in, k, d))
            return
        if self.sharing == "batch":
            if len(self.weight):
                self.r.append(torch.ones(k, d_in))
            self.s.append(torch.ones(k, d))
        self.weight.append(uniform(d_in, d, d_in))
        bias = uniform(d_in, d)
        self.bias.append(bias if self.sharing == "mini" else bias.repeat(k, 1))

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set up the embedding of numbers by the training rows."""
        if self.features.num is not None:
            self.features.num.initialize(inputs["num"][:, : self.features.n_embedded])

    def get_extra_state(self) -> dict[str, Any]:
        """What steps leave behind for later ones: for a training that goes on."""
        return self.workspace.state()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.workspace.load_state(state)

    def layers(self) -> list[HiddenLayer]:
        """The hidden layers."""
        own = itertools.zip_longest(self.weight, self.bias, self.s, self.r)
        return [HiddenLayer(*tensors) for tensors in own]

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units, of every member."""
        if self.training and self.n_batch_members > 1:
            x = self._features_of_members(num, cat)
        else:
            x = self.features(num, cat).unsqueeze(1)
        if self.training and self.is_relu and self.start is not None and x.device.type == "cpu" and may_fuse(x):
            # The same, much faster.
            return train_members(x, self.start, self.layers(), self.head, self.dropout.p, self.workspace)
        product = member_product if self.sharing == "packed" else shared_product
        if self.start is not None:
            x = x * self.start
        for layer in self.layers():
            x = product(x, layer.weight)
            if layer.scale is not None:
                x = x * layer.scale
            x = self.dropout(self.activation(x + layer.bias))
            if layer.after is not None:
                x = x * layer.after
        output: Tensor = self.head(x)
        return output

    def _features_of_members(self, num: Tensor | None, cat: Tensor | None) -> Tensor:
        """``[N, k, d_in]`` of ``[N, k, ...]``, a part that the cache holds at a time."""
        parts = [() if x is None else torch.split(x.flatten(0, 1), FEATURE_ROWS) for x in (num, cat)]
        features = torch.cat([self.features(*part) for part in itertools.zip_longest(*parts)])
        return torch.unflatten(features, 0, (-1, self.n_batch_members))


class ShippedLayer(nn.Module):
    """A hidden layer as :class:`HiddenLayer` describes it, from ``[k, N, d_in]`` to ``[k, N, d_out]``.

    Of members that share nothing ``weight`` is ``[k, d_in, d_out]``.
    """

    def __init__(self, layer: HiddenLayer, activation: nn.Module) -> None:
        super().__init__()
        self.is_shared = layer.weight.ndim == 2
        self.weight, self.bias = nn.Parameter(layer.weight), nn.Parameter(layer.bias)
        self.scale = None if layer.scale is None else nn.Parameter(layer.scale)
        self.after = None if layer.after is None else nn.Parameter(layer.after)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map every member's rows."""
        x = functional.linear(x, self.weight) if self.is_shared else torch.matmul(x, self.weight)
        if self.scale is not None:
            x = x * self.scale
        output: Tensor = self.activation(x + self.bias)
        return output if self.after is None else output * self.after


class ShippedTabM(nn.Module):
    """Some members of a trained network: the same outputs ``[N, k, n_outputs]`` by fewer operations.

    Members stand in the first dimension inside, which spares the output layers a transposition.
    """

    @torch.no_grad()
    def __init__(self, net: TabMNet, members: Tensor) -> None:
        super().__init__()
        self.features, self.evaluation_rows = net.features, net.evaluation_rows
        self.start = None if net.start is None else nn.Parameter(net.start[members].unsqueeze(1))
        weight = net.head.weight[members].mT.contiguous()
        layers = [_of_members(layer, members) for layer in net.layers()]
        if net.is_relu:
            layers = [_fold_after(layer) for layer in layers]
            layers[-1], weight = _fold_scale(layers[-1], weight)
        self.layers = nn.ModuleList(ShippedLayer(layer, net.activation) for layer in layers)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(net.head.bias[members].unsqueeze(1))

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units, of every member."""
        x = self.features(num, cat).unsqueeze(0)
        if self.start is not None:
            x = x * self.start
        for layer in self.layers:
            x = layer(x)
        return (torch.matmul(x, self.weight) + self.bias).transpose(0, 1)


def _of_members(layer: HiddenLayer, members: Tensor) -> HiddenLayer:
    """The layer of these members, with the rows of the batch between members and units."""
    weight = layer.weight if layer.weight.ndim == 2 else layer.weight[members].mT.contiguous()
    own = {name: getattr(layer, name) for name in ("bias", "scale", "after")}
    own = {name: x if x is None or x.ndim == 1 else x[members].unsqueeze(1) for name, x in own.items()}
    return HiddenLayer(weight, **own)


def _fold_after(layer: HiddenLayer) -> HiddenLayer:
    """What scales behind a ReLU may scale before it where it is positive."""
    if layer.scale is None or layer.after is None or not bool((layer.after > 0).all()):
        return layer
    return layer._replace(bias=layer.bias * layer.after, scale=layer.scale * layer.after, after=None)


def _fold_scale(layer: HiddenLayer, weight: Tensor) -> tuple[HiddenLayer, Tensor]:
    """What scales before the last ReLU may scale behind it, in the output layer ``weight [k, d, n_outputs]``."""
    if layer.scale is None or not bool((layer.scale > SMALLEST_SCALE).all()):
        return layer, weight
    return layer._replace(bias=layer.bias / layer.scale, scale=None), layer.scale.mT * weight


def flag_widths(schema: Schema) -> list[int]:
    """How many flags in order belong to a feature each: the one-hot columns of a category, else one.

    >>> from onnxlearn.schema import Column, Target
    >>> sex = Column(name="sex", kind="categorical", dtype="str", levels=("f", "m"), has_missing=True)
    >>> ingress = Ingress(
    ...     num_names=("x", "x:missing", "sex:missing", "sex=f", "sex=m"), num_kinds=("number", *["flag"] * 4)
    ... )
    >>> target = Target(names=("y",), type="regression", dtype="float64")
    >>> flag_widths(Schema(name="t", features=(sex,), target=target, ingress=ingress))
    [1, 3]
    """
    assert schema.ingress is not None
    names = schema.ingress.num_names[len(embedded_kinds(schema.ingress)) :]
    blocks = [block for column in schema.of_kind("categorical", "ordered") for block in _onehot_blocks(column)]
    widths, i = [], 0
    while i < len(names):
        # The longest one first: a block may lack the columns of rare and of missing values.
        width = next((len(block) for block in blocks if names[i : i + len(block)] == block), 1)
        widths.append(width)
        i += width
    return widths


def _onehot_blocks(column: Column) -> list[tuple[str, ...]]:
    """Names that the one-hot columns of a category may have."""
    levels = tuple(f"{column.name}={level}" for level in column.levels)
    missing = (f"{column.name}:missing",) if column.has_missing else ()
    return [(f"{column.name}:rare", *missing, *levels), (*missing, *levels)]


@torch.no_grad()
def choose_members(net: TabMNet, n_members: int, valid: Tensors, objective: Objective) -> list[int]:
    """Members whose average has a low validation loss: one after the other, each time the one that helps most.

    Caruana et al. (2004), "Ensemble Selection from Libraries of Models", section 2, without repetition.
    """
    parts = valid.batches(even_sizes(len(valid), net.evaluation_rows))
    outputs = torch.cat([net(**part.inputs) for part in parts])
    chosen: list[int] = []
    while len(chosen) < n_members:
        left = [i for i in range(outputs.shape[1]) if i not in chosen]
        losses = [float(objective.valid(outputs[:, [*chosen, i]], valid.target, valid.weight)[0]) for i in left]
        chosen.append(left[losses.index(min(losses))])
    return sorted(chosen)


def build_tabm(schema: Schema, config: TabMConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator.

    >>> from onnxlearn.schema import Target
    >>> target = Target(names=("y",), type="regression", dtype="float64")
    >>> ingress = Ingress(num_names=("x",), num_kinds=("number",), cat_names=("c",), cardinalities=(99,))
    >>> schema = Schema(name="t", features=(), target=target, ingress=ingress)
    >>> build_tabm(schema, TabMConfig()).eval()(torch.zeros(4, 1), torch.zeros(4, 1, dtype=torch.int64)).shape
    torch.Size([4, 32, 1])
    """
    return TabMNet(schema, config)


class TabM(NetworkLearner):
    """Learner ``tabm``."""

    name: ClassVar[str] = "tabm"
    architecture = staticmethod(build_tabm)
    architecture_config = TabMConfig
    # DIFF: the paper encodes every category one-hot. Beyond 32 levels an embedding keeps the first layer, which every member
    # passes, from growing with the number of levels; and codes of unseen and of missing values are added.
    # DIFF: the paper adds noise to the numbers that the quantiles are fitted on, to part equal ones; quantile_ties does it
    # without chance.
    # DIFF: the paper decays all of a layer's weights; here its matrices alone.
    defaults: Mapping[str, Any] = {
        "num_scaler": "quantile",
        "n_quantiles": None,
        "quantile_ties": "middle",
        "max_onehot": 32,
        "target_scaler": "standard",
        "max_epochs": 1000,
        "patience": 16,
        "lr": 2e-3,
        "weight_decay": 3e-4,
        "grad_clip": 1.0,
        "schedule": "constant",
        "warmup": 0.0,
        "ema": 0.0,
    }
    without: Mapping[str, str] = {"norm_statistics": "it has no batch norm"}

    @classmethod
    def choose(cls, config: Any, train_config: TrainConfig, schema: Schema, n_rows: int) -> tuple[Any, TrainConfig]:
        """Rows of a batch by the number of training rows."""
        if train_config.batch_size is None:
            size = next((size for limit, size in BATCH_SIZES if n_rows < limit), 1024)
            train_config = dataclasses.replace(train_config, batch_size=size)
        return config, choose_training(train_config, schema, n_rows)

    @classmethod
    def parameter_groups(cls, module: nn.Module, config: TrainConfig) -> list[Group]:
        """Matrices of layers decay; scalings, biases and embeddings of numbers do not."""
        del cls
        assert isinstance(module, TabMNet)
        matrices = [*module.weight, module.head.weight]
        codes = [] if module.features.cat is None else list(module.features.cat.parameters())
        known = {id(parameter) for parameter in (*matrices, *codes)}
        others = [parameter for parameter in module.parameters() if id(parameter) not in known]
        decay = config.weight_decay if config.embedding_weight_decay is None else config.embedding_weight_decay
        penalties = {"l1": config.l1, "l2": config.l2 or 0.0}
        groups = [
            Group(parameters=tuple(matrices), weight_decay=config.weight_decay, **penalties),
            Group(parameters=tuple(others)),
            Group(parameters=tuple(codes), weight_decay=decay, lr_factor=config.embedding_lr, **penalties),
        ]
        return [group for group in groups if group.parameters]

    @classmethod
    def finish(cls, module: nn.Module, config: Any, valid: Tensors | None, objective: Objective) -> nn.Module:
        """The network of the members to export, with as few operations as its outputs need."""
        del cls
        assert isinstance(module, TabMNet)
        members = list(range(config.n_members))
        if config.n_export_members is not None and valid is not None:
            members = choose_members(module, config.n_export_members, valid, objective)
        return ShippedTabM(module, torch.tensor(members)).eval()


class TabMMini(TabM):
    """Learner ``tabm_mini``."""

    name: ClassVar[str] = "tabm_mini"
    defaults: Mapping[str, Any] = {**TabM.defaults, "sharing": "mini"}
