"""Reading a column of images against a bare loop over Pillow, and the memory that 100,000 rows take.

``python tests/benchmarks/images.py``: times as ratios, rounds of both in turn in one run, as they are and as a network takes
them; of one process its processor time, of two others the clock and what is left to do for this one. ``memory`` reads 100,000
rows.
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
from onnxlearn.images.emit import ImageConfig, image_recipe
from onnxlearn.images.readers import Readers
from onnxlearn.images.ready import read_ready
from onnxlearn.providers import CPU_PROVIDER
from onnxlearn.session import CHUNK_ROWS, start_session

# What a network takes.
SIDE = 64
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


def bare(paths: list[str], recipe: bytes | None) -> None:
    """Images are kept as long as their batch is: memory that is not used again costs as much as a fifth of the decoding."""
    session = recipe and start_session(recipe, [CPU_PROVIDER], 1, CHUNK_ROWS)
    for batch in batches(len(paths)):
        images = [one(paths[i]) for i in batch]
        assert not session or session.run(None, {"image": np.stack(images)})


def one(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def ours(paths: list[str], recipe: bytes | None, readers: Readers) -> None:
    column = ImageColumn(name="photo", cells=paths)
    rows = batches(len(paths))
    for batch in read_ready(column, rows, recipe, readers=readers) if recipe else column.batches(rows, readers=readers):
        assert len(batch.rows)


def seconds(function: Callable[[], None], clock: Callable[[], float]) -> float:
    start = clock()
    function()
    return clock() - start


def speed() -> None:
    recipe = image_recipe(ImageConfig(image_height=SIDE, image_width=SIDE), n_channels=3)
    for side in (32, 64, 224, 640):
        with tempfile.TemporaryDirectory() as name:
            paths = files(Path(name), side, N_FILES)
            for made, what in ((None, ""), (recipe, f" to {SIDE} x {SIDE}")):
                for n_jobs, clock in ((1, time.process_time), (2, time.perf_counter)):
                    with Readers(n_jobs) as readers:
                        title = f"{side} x {side}{what}, n_jobs={n_jobs}"
                        compare(title, partial(ours, paths, made, readers), partial(bare, paths, made), clock)


def compare(name: str, first: Callable[[], None], second: Callable[[], None], clock: Callable[[], float]) -> None:
    first()
    pairs = [(seconds(first, clock), seconds(second, clock)) for _ in range(N_ROUNDS)]
    ratio = statistics.median(a / b for a, b in pairs)
    rate = N_FILES / statistics.median(b for _, b in pairs)
    here = seconds(first, time.process_time) / N_FILES * 1e6
    print(f"{name}: {ratio:.2f} of a bare loop ({rate:.0f} images a second), {here:.0f} us of this process an image")


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
