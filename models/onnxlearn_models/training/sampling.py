"""Which rows an epoch trains on, and in what order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.tensors import Tensors


@dataclass(frozen=True)
class Sampler:
    """All rows once, shuffled. ``n_rows``: rows of an epoch."""

    n_rows: int

    def order(self) -> Tensor:
        """Rows of the next epoch by their numbers, int64 ``[n_rows]``, drawn by torch's generator."""
        return torch.randperm(self.n_rows)


def make_sampler(config: TrainConfig, train: Tensors) -> Sampler:
    """What draws the rows of epochs."""
    del config
    return Sampler(len(train))
