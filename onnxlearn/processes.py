"""The processes of one training, as ``torchrun`` starts them: each finds in its environment which one it is."""

from __future__ import annotations

import os
from dataclasses import dataclass

from onnxlearn.errors import ParameterError


@dataclass(frozen=True)
class Place:
    """Which of how many processes this one is, and which of how many on this machine; all count from 0.

    >>> Place().is_first, Place(rank=1, n_processes=2, local_rank=1, n_local=2).is_first
    (True, False)
    """

    rank: int = 0
    n_processes: int = 1
    local_rank: int = 0
    n_local: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that talks and writes files."""
        return self.rank == 0


def place() -> Place:
    """Where this process stands by ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK`` and ``LOCAL_WORLD_SIZE``; without them, alone.

    Raises: ParameterError where they say nothing that can be.
    """
    rank, size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None or size is None:
        # Either alone is some other program's.
        return Place()
    try:
        found = Place(
            rank=int(rank),
            n_processes=int(size),
            local_rank=int(os.environ.get("LOCAL_RANK", rank)),
            n_local=int(os.environ.get("LOCAL_WORLD_SIZE", size)),
        )
    except ValueError:
        found = Place(n_processes=0)
    if not 0 <= found.rank < found.n_processes:
        raise ParameterError(
            f"the environment says RANK={rank} and WORLD_SIZE={size}, which count the processes of one training from 0: let "
            "torchrun set them, or unset both"
        )
    return found


def require_alone(what: str, way_out: str) -> None:
    """Raise ``ParameterError`` where this process is one of several that train together.

    >>> require_alone("benchmark", "give n_jobs")
    """
    if (n := place().n_processes) > 1:
        raise ParameterError(f"{what} cannot run in {n} processes that train each network together (WORLD_SIZE={n}): {way_out}")
