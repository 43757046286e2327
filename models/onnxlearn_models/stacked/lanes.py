"""What each model of a stack has of its own in a step: its rows and its random numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


class Lanes:
    """The rows and random numbers of k models, which their stacked layers share.

    ``generators``: one for each model, at first where ``states`` (of torch's own generator) say. ``n_rows``: rows of each
    model in the batch; where they differ, those beyond are padding, and ``mask`` float32 ``[k, N, 1]`` is 0 for them.
    """

    def __init__(self, states: Sequence[Tensor]) -> None:
        self.generators = [torch.Generator() for _ in states]
        for generator, state in zip(self.generators, states, strict=True):
            generator.set_state(state)
        self.n_rows: list[int] = []
        self.mask: Tensor | None = None
        self.counts: Tensor | None = None

    def set_rows(self, n_rows: Sequence[int], mask: Tensor | None = None) -> None:
        """The rows of the next batch; ``mask`` where they differ."""
        self.n_rows, self.mask = list(n_rows), mask
        self.counts = None if mask is None else torch.tensor(self.n_rows, dtype=mask.dtype).view(-1, 1, 1)

    @contextlib.contextmanager
    def drawing(self, index: int) -> Iterator[None]:
        """Inside, torch's own generator is that of one model; its state after it is the model's."""
        generator = self.generators[index]
        torch.set_rng_state(generator.get_state())
        yield
        generator.set_state(torch.get_rng_state())

    def states(self) -> list[Tensor]:
        """Where the random numbers of each model stand."""
        return [generator.get_state() for generator in self.generators]

    def keep(self, alive: Sequence[int]) -> None:
        """Go on with some of the models."""
        self.generators = [self.generators[i] for i in alive]


def padding_mask(n_rows: Sequence[int]) -> Tensor | None:
    """1 for rows and 0 for padding, float32 ``[k, N, 1]``; ``None`` where there is no padding.

    >>> padding_mask([2, 2]) is None, padding_mask([2, 1])[..., 0].tolist()
    (True, [[1.0, 1.0], [1.0, 0.0]])
    """
    longest = max(n_rows)
    if min(n_rows) == longest:
        return None
    return (torch.arange(longest) < torch.tensor(n_rows).unsqueeze(1)).float().unsqueeze(-1)
