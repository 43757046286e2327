"""What processes do in tests: they import it by its name."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np


def arrays(seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    return {
        "bytes": draw.integers(0, 256, (3, 5, 1), np.uint8),
        "nothing": np.empty((0, 2), np.float32),
        "numbers": draw.random((2, 3)),
        "flags": draw.random(7) < 0.5,
        "process": os.getpid(),
    }


def no_arrays(seed: int) -> tuple[int, Any]:
    return seed, np.empty(0)


def without_room(seed: int) -> dict[str, Any]:
    """A file of this process may have 10 bytes, as where a disk is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    return arrays(seed)


def slow(task: tuple[str, int]) -> Any:
    """Notes that it was begun and, later, that it is done."""
    folder, number = task
    Path(folder, f"{number}.begun").touch()
    time.sleep(0.1)
    Path(folder, f"{number}.done").touch()
    return np.full(1000, number)
