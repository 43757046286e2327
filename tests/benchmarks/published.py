"""The published implementations of our networks, trained on the same rows for the same number of epochs and steps."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

Work = Callable[[], object]
N_COLUMNS = 20


@dataclass(frozen=True)
class Setting:
    """Rows of 20 numbers with one of two classes, how often they are gone through and how many at a time."""

    n_rows: int
    n_epochs: int
    batch_size: int

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(self.n_rows, N_COLUMNS)).astype(np.float32)
        return x, (x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(size=self.n_rows) > 0).astype(np.int64)

    def tensors(self) -> tuple[Tensor, Tensor]:
        x, y = self.rows()
        return torch.from_numpy(x), torch.from_numpy(y)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def loop(module: nn.Module, setting: Setting, batches: Callable[[Tensor, Tensor], Iterator[tuple[Tensor, Tensor]]]) -> None:
    """The best loop that people write by hand: tensors in memory, fused AdamW, shuffle once an epoch."""
    x, y = setting.tensors()
    module = copy.deepcopy(module).train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=1e-5, fused=True)
    for _ in range(setting.n_epochs):
        for rows, classes in batches(x, y):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(module(rows).flatten(0, -2), classes.flatten()).backward()
            optimizer.step()


def shuffled(setting: Setting) -> Callable[[Tensor, Tensor], Iterator[tuple[Tensor, Tensor]]]:
    """Batches of all rows in a random order."""

    def batches(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(x))
        return zip(x[order].split(setting.batch_size), y[order].split(setting.batch_size), strict=True)

    return batches


def by_hand(module: nn.Module, setting: Setting) -> tuple[Work, int]:
    return lambda: loop(module, setting, shuffled(setting)), count(module)


def rtdl_mlp(_: nn.Module, setting: Setting) -> tuple[Work, int]:
    from rtdl_revisiting_models import MLP

    return by_hand(MLP(d_in=N_COLUMNS, d_out=2, n_blocks=3, d_block=256, dropout=0.3), setting)


def rtdl_resnet(_: nn.Module, setting: Setting) -> tuple[Work, int]:
    from rtdl_revisiting_models import ResNet

    shape = {"n_blocks": 2, "d_block": 192, "d_hidden_multiplier": 2.0, "dropout1": 0.15, "dropout2": 0.0}
    return by_hand(ResNet(d_in=N_COLUMNS, d_out=2, **shape), setting)


class Numbers(nn.Module):
    """A network of numbers and categories where there are no categories."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, None)


def rtdl_ft_transformer(_: nn.Module, setting: Setting) -> tuple[Work, int]:
    from rtdl_revisiting_models import FTTransformer

    default = FTTransformer.get_default_kwargs()
    return by_hand(Numbers(FTTransformer(n_cont_features=N_COLUMNS, cat_cardinalities=[], d_out=2, **default)), setting)


def pytorch_tabnet(_: nn.Module, setting: Setting) -> tuple[Work, int]:
    from pytorch_tabnet.tab_model import TabNetClassifier

    x, y = setting.rows()

    def fit(n_epochs: int = setting.n_epochs) -> TabNetClassifier:
        network = TabNetClassifier(verbose=0, device_name="cpu")
        network.fit(x, y, max_epochs=n_epochs, batch_size=setting.batch_size, patience=0, compute_importance=False)
        return network

    return fit, count(fit(1).network)


def tabm_package(_: nn.Module, setting: Setting) -> tuple[Work, int]:
    """Each member has batches of its own, as in the package's example."""
    from tabm import TabM

    network = Numbers(TabM.make(n_num_features=N_COLUMNS, d_out=2))
    k = network.network.k

    def batches(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        orders = torch.rand(k, len(x)).argsort(dim=1).T
        return ((x[rows], y[rows]) for rows in orders.split(setting.batch_size))

    return lambda: loop(network, setting, batches), count(network)


def matrix_products(module: nn.Module, setting: Setting) -> tuple[Work, int]:
    """Nothing but the products of TabM's default: for each layer the output and both gradients."""
    k, widths = 32, (N_COLUMNS, 512, 512, 512)
    n_steps = setting.n_epochs * math.ceil(setting.n_rows / setting.batch_size)
    n = k * setting.batch_size
    layers = [
        (torch.randn(n, d_in), torch.randn(d_in, d_out), torch.randn(n, d_out)) for d_in, d_out in itertools.pairwise(widths)
    ]
    head = (
        torch.randn(k, setting.batch_size, widths[-1]),
        torch.randn(k, widths[-1], 2),
        torch.randn(k, setting.batch_size, 2),
    )

    def products() -> None:
        for _ in range(n_steps):
            for x, weights, grads in [*layers, head]:
                torch.matmul(x, weights)
                torch.matmul(grads, weights.mT)
                torch.matmul(x.mT, grads)

    return products, count(module)


def pytabkit_realmlp(module: nn.Module, setting: Setting) -> tuple[Work, int]:
    """The whole of `fit`, with its 20 % of the rows held out."""
    from pytabkit import RealMLP_TD_Classifier

    x, y = setting.rows()
    given = {"n_epochs": setting.n_epochs, "batch_size": setting.batch_size, "n_threads": 1, "device": "cpu"}
    return lambda: RealMLP_TD_Classifier(random_state=0, **given).fit(x, y), count(module)
