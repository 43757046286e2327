"""Several processes that train one network together, each on its share of every batch.

All have the same rows, weights and settings. A step adds up the gradients of the shares, weighed by their rows: it is the one
that a single process would make of the whole batch. What differs between them is what each draws itself (dropout, mixup) and
what a network computes of the rows of its batch (batch norm), as with torch's ``DistributedDataParallel``.

That class listens to the gradient of every parameter. Here all gradients are one tensor, some of which are written without
autograd's knowing, so they are added up in one call (``docs/decisions/0029``).
"""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from onnxlearn.errors import ParameterError, ProviderError
from onnxlearn.processes import place

T = TypeVar("T")

# A process that is silent for so long is taken for dead. Where one ends, the others are told at once on a CPU.
TIMEOUT = dt.timedelta(minutes=10)
# Steps after which the processes ask each other whether one of them wants to stop.
AGREEING_STEPS = 16


class Team:
    """The processes of a training; this one alone is one of its kind, whose methods do nothing.

    ``rank`` counts from 0; ``size``: how many there are.
    """

    rank = 0
    size = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that talks and writes files."""
        return self.rank == 0

    def share(self, sizes: Sequence[int]) -> list[range]:
        """Of batches of these sizes, which follow each other, the rows that are this process's.

        >>> Team().share([3, 2])
        [range(0, 3), range(3, 5)]
        """
        starts = itertools.accumulate(sizes, initial=0)
        bounds = [
            [start + size * i // self.size for i in (self.rank, self.rank + 1)]
            for start, size in zip(starts, sizes, strict=False)
        ]
        return [range(*pair) for pair in bounds]

    def add(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        return tensor

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over all processes, in place."""
        return self.add(tensor).div_(self.size) if self.size > 1 else tensor

    def first(self, tensor: Tensor) -> Tensor:
        """What the first process has, in place."""
        return tensor

    def told(self, value: T) -> T:
        """What the first process has: a small object."""
        return value

    def any(self, value: T | None) -> T | None:
        """What a process has that has something; the first of them."""
        return value

    def require_same(self, *values: Tensor | float) -> None:
        """Raise ``ParameterError`` in all processes unless numbers, and tensors that have rows, are the same in all of them."""

    def reseed(self, seed: int, epoch: int) -> None:
        """Let each process but the first draw random numbers of its own."""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """An error inside, or an interruption, parts the processes, so that none waits for another one."""
        yield


class _Joined(Team):
    """Processes that torch's ``distributed`` has joined."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size, self._device = dist.get_rank(), dist.get_world_size(), device

    def add(self, tensor: Tensor) -> Tensor:
        with _answered():
            dist.all_reduce(tensor)
        return tensor

    def first(self, tensor: Tensor) -> Tensor:
        with _answered():
            dist.broadcast(tensor, src=0)
        return tensor

    def told(self, value: T) -> T:
        return self._gathered(value)[0]

    def any(self, value: T | None) -> T | None:
        return next((each for each in self._gathered(value) if each is not None), None)

    def require_same(self, *values: Tensor | float) -> None:
        found = self._gathered([_checksum(value) if isinstance(value, Tensor) else float(value) for value in values])
        for rank, others in enumerate(found):
            # Sums of many numbers may differ by rounding between machines.
            if len(others) != len(found[0]) or not np.allclose(others, found[0], rtol=1e-5, equal_nan=True):
                raise ParameterError(
                    f"process {rank} has other rows, another network or other settings than process 0: all processes of a "
                    "training have to read the same table and make the same learner"
                )

    def reseed(self, seed: int, epoch: int) -> None:
        if self.rank:
            (own,) = np.random.SeedSequence([seed, epoch, self.rank]).generate_state(1, np.uint64)
            torch.manual_seed(int(own) >> 1)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        try:
            yield
        except ParameterError:
            # Those are raised in all processes alike, which may go on together.
            raise
        except BaseException:
            _part()
            raise

    def _gathered(self, value: T) -> list[T]:
        found: list[Any] = [None] * self.size
        with _answered(), torch.cuda.device(self._device) if self._device.type == "cuda" else contextlib.nullcontext():
            dist.all_gather_object(found, value)
        return found


def _checksum(tensor: Tensor) -> float:
    """A number that tells of other rows, and of the same ones in another order."""
    sizes = tensor.detach().reshape(len(tensor), -1).float().abs().sum(dim=1)
    return float(sizes @ torch.linspace(1, 2, len(sizes), device=sizes.device))


def join(device: torch.device) -> Team:
    """The processes that ``torchrun``, or whoever set the environment, started together with this one.

    They stay joined to the end of the process. Raises: ProviderError where the others do not come, or have parted.
    """
    if _PARTED:
        raise ProviderError("the processes of this run have parted after an error: start them again")
    if not (dist.is_available() and dist.is_initialized()):
        if place().n_processes == 1:
            return Team()
        with _answered():
            dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
        atexit.register(_part)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return _Joined(device)


# Whether they have been joined and are no more: torch can join the same processes only once.
_PARTED: list[bool] = []


def _part() -> None:
    if not dist.is_initialized():
        return
    _PARTED.append(True)
    # Calls of the other processes fail then, and need not wait for an answer.
    if dist.get_backend() == "nccl":
        dist.distributed_c10d._abort_process_group()
    else:
        dist.destroy_process_group()


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Tell of processes that do not answer."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        # The lines of torch's own code and what it guesses are of no use here.
        reason = re.sub(r"^\[\S*\] ", "", str(error).strip()).partition("\n")[0].partition(". ")[0]
        raise ProviderError(
            f"another process of this training has ended or does not answer ({reason}): the first error of all of them says why"
        ) from error
