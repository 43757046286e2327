"""Reading a column of images against a bare loop over Pillow, and the memory that 100,000 rows take.

``python tests/benchmarks/images.py``: times as ratios, rounds of both in turn in one run, of one process
its processor time; ``memory`` reads 100,000 rows.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from onnxlearn.images.column import ImageColumn

N_FILES = 256
N_ROUNDS = 7


def files(folder: Path, side: int, n: int) -> list[str]:
    """JPEG files of smooth noise, which compress about as photographs do."""
    draw = np.random.default_rng(0)
    for i in range(n):
        small = Image.fromarray(draw.integers(0, 256, (side // 8, side // 8, 3), np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
    return [str(folder / f"{i}.jpg") for i in range(n)]


def batches(n: int, size: int = 32) -> Iterator[range]:
    return (range(start, min(n, start + size)) for start in range(0, n, size))


def bare(paths: list[str]) -> None:
    """Images are kept as long as their batch is: memory that is not used again costs as much as a fifth of the decoding."""
    for batch in batches(len(paths)):
        assert [one(paths[i]) for i in batch]


def one(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def ours(paths: list[str], n_jobs: int) -> None:
    for batch in ImageColumn(name="photo", cells=paths).batches(batches(len(paths)), n_jobs=n_jobs):
        assert len(batch.images) == len(batch.rows)


def seconds(function: Callable[[], None], clock: Callable[[], float]) -> float:
    start = clock()
    function()
    return clock() - start


def speed() -> None:
    for side in (64, 224, 640):
        with tempfile.TemporaryDirectory() as name:
            paths = files(Path(name), side, N_FILES)
            for n_jobs, clock in ((1, time.process_time), (2, time.perf_counter)):
                compare(f"{side} x {side}, n_jobs={n_jobs}", partial(ours, paths, n_jobs), partial(bare, paths), clock)


def compare(name: str, first: Callable[[], None], second: Callable[[], None], clock: Callable[[], float]) -> None:
    first()
    pairs = [(seconds(first, clock), seconds(second, clock)) for _ in range(N_ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    rate = N_FILES / statistics.median(b for _, b in pairs)
    print(f"{name}: {ratio:.2f} of a bare loop ({rate:.0f} images a second)")


def memory() -> None:
    with tempfile.TemporaryDirectory() as name:
        paths = files(Path(name), 64, 100) * 1000
        peaks = []
        for n in (2_000, len(paths)):
            for _ in ImageColumn(name="photo", cells=paths).batches(batches(n), n_jobs=2):
                pass
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        print(f"most memory after 2,000 rows {peaks[0]} MB, after {len(paths)} rows {peaks[1]} MB")


if __name__ == "__main__":
    memory() if sys.argv[1:] == ["memory"] else speed()
