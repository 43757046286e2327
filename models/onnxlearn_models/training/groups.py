"""Parameters in groups that share a weight decay and a factor on the learning rate."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.optimizer import Group


def parameter_groups(module: nn.Module, config: TrainConfig) -> list[Group]:
    """Matrices decay and have penalties; biases, norms and whatever stands in modules of ``undecayed = True`` do not.

    Embeddings of codes may have rates of their own.
    """
    embedding = _inside(module, lambda part: isinstance(part, CodeEmbedding))
    spared = _inside(module, lambda part: getattr(part, "undecayed", False))
    trainable = [p for p in module.parameters() if p.requires_grad]
    others = [p for p in trainable if id(p) not in embedding]
    matrices = tuple(p for p in others if p.ndim >= 2 and id(p) not in spared)
    vectors = tuple(p for p in others if p.ndim < 2 or id(p) in spared)
    embeddings = tuple(p for p in trainable if id(p) in embedding)
    decay = config.weight_decay if config.embedding_weight_decay is None else config.embedding_weight_decay
    penalties = {"l1": config.l1, "l2": config.l2 or 0.0}
    groups = [
        Group(parameters=matrices, weight_decay=config.weight_decay, **penalties),
        Group(parameters=vectors),
        Group(parameters=embeddings, weight_decay=decay, lr_factor=config.embedding_lr, **penalties),
    ]
    return [group for group in groups if group.parameters]


def _inside(module: nn.Module, chosen: Callable[[nn.Module], bool]) -> set[int]:
    """Which parameters stand in the chosen modules."""
    return {id(p) for part in module.modules() if chosen(part) for p in part.parameters()}
