"""TabNet: a network that chooses, row by row and step by step, which columns it looks at.

Arik and Pfister (2021), "TabNet: Attentive Interpretable Tabular Learning", with the details of the package pytorch-tabnet.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxlearn.effects import at_least
from onnxlearn.errors import ParameterError
from onnxlearn.params import param
from onnxlearn.preprocess.config import AS_CODES
from onnxlearn.schema import Ingress, Schema
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.layers.ghost_norm import GhostBatchNorm
from onnxlearn_models.layers.sparse import SPARSE, SparseMap
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.training.config import TrainConfig, choose_training
from onnxlearn_models.training.objective import Objective
from onnxlearn_models.training.tensors import Tensors

# Of the batch norm of the inputs, which sees whole batches.
INPUT_MOMENTUM = 0.01
# About so many steps make an epoch, unless the table is small or large.
STEPS = 48
# Keeps the logarithm of a share of 0 finite, and the weights of steps that all decide nothing.
LOG_FLOOR, WEIGHT_FLOOR = 1e-15, 1e-20


@dataclass(frozen=True, kw_only=True)
class TabNetConfig:
    """Shape of the network."""

    n_d: int = param(8, "width of what each step decides", low=1)
    n_a: int = param(8, "width of what each step passes on to the choice of columns", low=1)
    n_steps: int = param(3, "decision steps", low=1)
    gamma: float = param(
        1.3, "how freely a step may look at columns that earlier ones have used (1: each column once)", low=1, high=10,
        when={"n_steps": at_least(2)},
    )  # fmt: skip
    n_independent: int = param(2, "gated layers of each step's own", low=0)
    n_shared: int = param(2, "gated layers that all steps share", low=0)
    mask_type: str = param("sparsemax", "function that chooses columns", choices=SPARSE)
    lambda_sparse: float = param(1e-3, "weight of the entropy of the choices in the loss", low=0)
    virtual_batch_size: int = param(128, "rows that batch norm looks at together in training", low=2)
    momentum: float = param(
        0.02, "share of the newest batch in the running statistics of batch norm", low=0, low_open=True, high=1
    )
    d_embedding: int = param(1, "width of the embedding of a category", low=1, when=AS_CODES, on="categories")
    masks: Literal["none", "steps", "features"] = param(
        "none",
        "output masks: the share of each feature in each step (steps), in the whole decision (features), or no such output",
    )

    def __post_init__(self) -> None:
        if not self.n_independent + self.n_shared:
            raise ParameterError("n_independent=0 and n_shared=0 leave no layers: give one of them at least 1")


class FeatureTransformer(nn.Module):
    """Gated layers with skip connections: first the shared ones, then its own. Each has batch norms of its own.

    ``forward``: ``[N, d_in]`` to ``[N, d_out]``.
    """

    def __init__(self, shared: nn.ModuleList, d_in: int, d_out: int, config: TabNetConfig) -> None:
        super().__init__()
        own = [_gate(d_out if shared or i else d_in, d_out) for i in range(config.n_independent)]
        self.layers = nn.ModuleList([*shared, *own])
        self.norms = nn.ModuleList(_norm(2 * d_out, config) for _ in self.layers)

    def forward(self, x: Tensor) -> Tensor:
        """Transform the columns that were chosen."""
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            gated = functional.glu(norm(layer(x)), dim=1)
            x = (x + gated) * math.sqrt(0.5) if i else gated
        return x


class AttentiveTransformer(nn.Module):
    """Chooses columns: ``forward(features [N, n_a], prior)`` gives a mask ``[N, n_columns]`` whose rows sum to 1."""

    def __init__(self, n_columns: int, config: TabNetConfig) -> None:
        super().__init__()
        self.linear = _linear(config.n_a, n_columns, gain=1.0)
        self.norm = _norm(n_columns, config)
        self.choose = SparseMap(config.mask_type, n_columns)

    def forward(self, features: Tensor, prior: Tensor | None) -> Tensor:
        """``prior``: how much of each column is left from earlier steps; ``None`` before the first."""
        scores = self.norm(self.linear(features))
        mask: Tensor = self.choose(scores if prior is None else scores * prior)
        return mask


class TabNetNet(nn.Module):
    """The encoder of section 3 of the paper with one linear map behind it.

    ``forward(num, cat)``: float32 ``[N, n_num]`` and int64 ``[N, n_cat]``, ``None`` where there are no columns, to float32
    ``[N, n_outputs]``. ``outputs`` has the masks too, as ``config.masks`` asks for them, for the ``n_features`` features;
    ``sources`` says which of them each column of ``num`` and ``cat`` comes from.
    """

    to_columns: Tensor | None
    to_features: Tensor

    def __init__(self, ingress: Ingress, n_outputs: int, config: TabNetConfig, sources: list[int], n_features: int) -> None:
        super().__init__()
        self.config = config
        widths = [1] * ingress.n_num + [config.d_embedding] * ingress.n_cat
        n_columns, d_in, d_hidden = len(widths), sum(widths), config.n_d + config.n_a
        self.embedding = CodeEmbedding(ingress.cardinalities, widths[ingress.n_num :]) if ingress.n_cat else None
        self.norm = GhostBatchNorm(d_in, momentum=INPUT_MOMENTUM)
        shared = nn.ModuleList(_gate(d_hidden if i else d_in, d_hidden) for i in range(config.n_shared))
        self.first = FeatureTransformer(shared, d_in, d_hidden, config)
        self.attention = nn.ModuleList(AttentiveTransformer(n_columns, config) for _ in range(config.n_steps))
        self.steps = nn.ModuleList(FeatureTransformer(shared, d_in, d_hidden, config) for _ in range(config.n_steps))
        self.head = _linear(config.n_d, n_outputs, gain=1.0)
        spread = torch.repeat_interleave(torch.eye(n_columns), torch.tensor(widths), dim=1)
        spread /= spread.sum(dim=1, keepdim=True)
        self.register_buffer("to_columns", spread if d_in > n_columns else None, persistent=False)
        to_features = torch.tensor(sources).unsqueeze(1) == torch.arange(n_features)
        self.register_buffer("to_features", to_features.float(), persistent=False)
        self.entropy: Tensor | None = None

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        return self._run(num, cat)[0]

    def outputs(self, num: Tensor | None = None, cat: Tensor | None = None) -> dict[str, Tensor]:
        """``output``, what ``forward`` gives, and ``masks`` ``[N, n_steps, n_features]`` or ``[N, n_features]``."""
        output, masks, decisions = self._run(num, cat)
        if self.config.masks == "none":
            return {"output": output}
        of_steps = torch.matmul(torch.stack(masks, dim=1), self.to_features)
        if self.config.masks == "steps":
            return {"output": output, "masks": of_steps}
        # As much as a step adds to the decision (section 3, "Interpretability"); alike where no step adds anything.
        weights = torch.stack([decision.sum(dim=1, keepdim=True) for decision in decisions], dim=1) + WEIGHT_FLOOR
        return {"output": output, "masks": (of_steps * weights).sum(dim=1) / weights.sum(dim=1)}

    def penalty(self) -> Tensor:
        """Entropy of the masks of the batch that was just trained on, times its weight in the loss."""
        assert self.entropy is not None, "penalty() follows a forward pass in training"
        penalty, self.entropy = self.config.lambda_sparse * self.entropy, None
        return penalty

    def _run(self, num: Tensor | None, cat: Tensor | None) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The network's output, and each step's mask ``[N, n_columns]`` and decision ``[N, n_d]``."""
        x = self.norm(self._columns(num, cat))
        _, features = self._halves(self.first(x))
        prior: Tensor | None = None
        masks: list[Tensor] = []
        decisions: list[Tensor] = []
        for choose, transform in zip(self.attention, self.steps, strict=True):
            if masks:
                left = self.config.gamma - masks[-1]
                prior = left if prior is None else prior * left
            mask = choose(features, prior)
            decision, features = self._halves(transform(x * (mask if self.to_columns is None else mask @ self.to_columns)))
            masks.append(mask)
            decisions.append(torch.relu(decision))
        if self.training:
            shares = torch.cat(masks)
            self.entropy = -(shares * torch.log(shares + LOG_FLOOR)).sum() / len(shares)
        return self.head(sum(decisions[1:], start=decisions[0])), masks, decisions

    def _halves(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What a step decides, and what it passes on to the next choice."""
        decision, features = torch.split(hidden, [self.config.n_d, self.config.n_a], dim=1)
        return decision, features

    def _columns(self, num: Tensor | None, cat: Tensor | None) -> Tensor:
        parts = [] if num is None else [num]
        if self.embedding is not None and cat is not None:
            parts.append(self.embedding(cat))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def build_tabnet(schema: Schema, config: TabNetConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator.

    >>> from onnxlearn.schema import Column, Target
    >>> features = (Column(name="x", kind="numeric", dtype="float64"), Column(name="c", kind="categorical", dtype="str"))
    >>> target = Target(names=("y",), type="regression", dtype="float64")
    >>> ingress = Ingress(num_names=("x",), num_sources=("x",), cat_names=("c",), cardinalities=(9,))
    >>> schema = Schema(name="t", features=features, target=target, ingress=ingress)
    >>> network = build_tabnet(schema, TabNetConfig(masks="steps")).eval()
    >>> found = network.outputs(torch.zeros(4, 1), torch.zeros(4, 1, dtype=torch.int64))
    >>> found["output"].shape, found["masks"].shape
    (torch.Size([4, 1]), torch.Size([4, 3, 2]))
    """
    assert schema.ingress is not None
    position = {name: i for i, name in enumerate(schema.feature_names)}
    # What is made of several features counts for none of them.
    sources = [position.get(name, -1) for name in (*schema.ingress.num_sources, *schema.ingress.cat_names)]
    return TabNetNet(schema.ingress, schema.n_outputs, config, sources, len(position))


class TabNet(NetworkLearner):
    """Learner ``tabnet``.

    It has no choice of activation, norm or embedding of numbers: gated layers, ghost batch norm and masks of single columns are
    what the paper's design consists of.
    """

    name: ClassVar[str] = "tabnet"
    architecture = staticmethod(build_tabnet)
    architecture_config = TabNetConfig
    # DIFF: the paper and pytorch_tabnet take numbers as they are, batch norm being their only scaling; here they are scaled
    # robustly and bent first, as for all learners.
    defaults: Mapping[str, Any] = {
        "cat_encoding": "embedding",
        "lr": 0.02,
        "weight_decay": 0.0,
        "grad_clip": 1.0,
        "ema": 0.0,
        # DIFF: pytorch_tabnet keeps to one learning rate unless it is given a scheduler.
        "schedule": "cosine",
        "max_epochs": 100,
        # DIFF: its patience is 10; a rate that falls finds better epochs later.
        "patience": 15,
    }

    without: Mapping[str, str] = {"dropout_schedule": "it has no dropout"}

    @classmethod
    def choose(cls, config: Any, train_config: TrainConfig, schema: Schema, n_rows: int) -> tuple[Any, TrainConfig]:
        """Batches small enough for some 48 steps an epoch."""
        batch_size = train_config.batch_size
        if batch_size is None:
            # DIFF: pytorch_tabnet's 1,024 rows are for large tables; on one of fewer rows it makes no step at all.
            batch_size = min(1024, max(16, 2 ** round(math.log2(n_rows / STEPS))))
        return config, choose_training(dataclasses.replace(train_config, batch_size=batch_size), schema, n_rows)

    def further_outputs(self) -> tuple[str, ...]:
        """The masks, where they are asked for."""
        return () if self.values["masks"] == "none" else ("masks",)

    @classmethod
    def finish(cls, module: nn.Module, config: Any, valid: Tensors | None, objective: Objective) -> nn.Module:
        """In float64: layer after layer amplifies rounding errors, and float32 often fails the proof of parity."""
        del cls, config, valid, objective
        return module.double()


def _gate(d_in: int, d_out: int) -> nn.Linear:
    """The linear map of a gated layer: values and gates."""
    return _linear(d_in, 2 * d_out, gain=math.sqrt(2))


def _linear(d_in: int, d_out: int, *, gain: float) -> nn.Linear:
    """Without bias; initial weights of standard deviation ``gain / d_in^0.25``, as pytorch_tabnet's come to."""
    linear = nn.Linear(d_in, d_out, bias=False)
    nn.init.normal_(linear.weight, std=gain * d_in**-0.25)
    return linear


def _norm(width: int, config: TabNetConfig) -> GhostBatchNorm:
    return GhostBatchNorm(width, momentum=config.momentum, virtual_batch_size=config.virtual_batch_size)
