"""How many threads torch computes with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

# Multiplications of a forward pass below which sharing them out hardly pays. Two threads save a third of a large step at
# best; where other processes keep the cores busy they wait for each other, and a small step takes 30 times as long.
WORTH_SHARING = 1e8


def choose_threads(n_threads: int | None, n_weights: int, batch_size: int) -> int:
    """As asked for, else one thread for small steps and torch's own number for large ones.

    >>> choose_threads(None, 10_000, 32), choose_threads(4, 10_000, 32)
    (1, 4)
    """
    if n_threads is not None:
        return n_threads
    return 1 if n_weights * batch_size < WORTH_SHARING else torch.get_num_threads()


@contextlib.contextmanager
def threads(n_threads: int) -> Iterator[None]:
    """So many threads inside; as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
