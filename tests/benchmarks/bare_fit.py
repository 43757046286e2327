"""The bare script that `onnxlearn fit example:penguins` is compared with: python bare_fit.py EPOCHS

It reads the same file with pandas, holds rows out, trains a network of the same shape for the same number of epochs with
torch's own optimizer, keeps the best weights and writes nothing.
"""

from __future__ import annotations

import sys
from importlib.resources import files

import numpy as np
import pandas as pd
import torch
from torch import nn


def read() -> tuple[torch.Tensor, torch.Tensor]:
    frame = pd.read_csv(str(files("onnxlearn") / "data" / "penguins.csv"))
    target = frame.pop("species").astype("category").cat.codes.to_numpy(np.int64)
    numbers = frame.select_dtypes("number")
    scaled = ((numbers - numbers.mean()) / numbers.std()).fillna(0.0)
    dummies = pd.get_dummies(frame.select_dtypes(exclude="number"), dummy_na=True)
    return torch.tensor(np.hstack([scaled, dummies]), dtype=torch.float32), torch.tensor(target)


def main(epochs: int, n_blocks: int, d_block: int, dropout: float, batch_size: int) -> None:
    torch.manual_seed(0)
    x, y = read()
    order = torch.randperm(len(x))
    n_valid = int(0.15 * len(x))
    valid, train = order[:n_valid], order[n_valid:]
    widths = [x.shape[1]] + [d_block] * n_blocks
    hidden = [part for i in range(n_blocks) for part in (nn.Linear(widths[i], widths[i + 1]), nn.ReLU(), nn.Dropout(dropout))]
    net = nn.Sequential(*hidden, nn.Linear(widths[-1], 3))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    best, kept = float("inf"), net.state_dict()
    for _ in range(epochs):
        net.train()
        shuffled = train[torch.randperm(len(train))]
        for rows in shuffled.split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            loss = nn.functional.cross_entropy(net(x[valid]), y[valid]).item()
        if loss < best:
            best, kept = loss, {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.load_state_dict(kept)


if __name__ == "__main__":
    main(*(float(word) if "." in word else int(word) for word in sys.argv[1:]))
