"""Training on images against a bare torch loop with the same reader, and predicting against bare ONNX Runtime.

python tests/benchmarks/image_networks.py            lines on stdout
python tests/benchmarks/image_networks.py --write    also into docs/benchmarks.md

JPEG files of 64 x 64 pixels, of two classes. CPU seconds of this process, which reads, computes and steps, in one thread, ours
and the reference in turn. Every epoch of training reads its files anew (beyond ``image_memory``), or has them in memory.
"""

from __future__ import annotations

import copy
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
import onnxruntime
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from timing import Row, markdown, paired, row, write_section

import onnxlearn as ol
from onnxlearn_models.prepared import Prepared
from onnxlearn_models.training.lazy import LazyTensors
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.tensors import Tensors

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
SIDE, N_FILES, BATCH_SIZE, LR, PAIRS = 64, 192, 32, 1e-3, 7
ICON, N_ICONS = 28, 1000
SIZE = {"image_height": SIDE, "image_width": SIDE, "image_fit": "stretch"}
LEARNERS: dict[str, dict[str, Any]] = {"cnn": {}, "backbone": {"backbone": "resnet18"}}


def learner(name: str, **settings: Any) -> Any:
    common = {"batch_size": BATCH_SIZE, "lr": LR, "max_epochs": 100, "validation": None, "device": "cpu", "n_threads": 1}
    return ol.learner(name, **{**LEARNERS[name], **SIZE, **common, **settings})


def task(paths: list[str]) -> ol.Task:
    frame = pd.DataFrame({"photo": paths, "y": ["ab"[i % 2] for i in range(len(paths))]})
    return ol.Task.from_frame(frame, "y", kinds={"photo": "image"})


def files(folder: Path, side: int, n: int) -> list[str]:
    """JPEG files of smooth noise, which compress about as photographs do."""
    draw = np.random.default_rng(0)
    for i in range(n):
        small = Image.fromarray(draw.integers(0, 256, (side // 8, side // 8, 3), np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
    return [str(folder / f"{i}.jpg") for i in range(n)]


def one(path: str) -> np.ndarray:
    """As a bare loop decodes it."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


class Fit:
    """Epochs of ours and of a bare loop, on the same rows with the same network."""

    def __init__(self, name: str, rows: ol.Task, image_memory: float, **settings: Any) -> None:
        recipe = learner(name, image_memory=image_memory, image_workers=1, **settings)
        prepared: Prepared = recipe.prepare(rows)
        self.module = copy.deepcopy(prepared.module)
        self.training = Training(**recipe.arguments(prepared, lambda _: None))
        self.training.call("begin")
        self.rows = self.training.train
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=LR, fused=True)

    def ours(self) -> None:
        """All that an epoch of a fit consists of: steps, averages of the weights, history, the best weights."""
        self.training.run_epoch()

    def bare(self) -> None:
        """What people write."""
        self.module.train()
        for part in batches(self.rows):
            loss = nn.functional.cross_entropy(self.module(columns=part.inputs), part.target)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


def batches(rows: Tensors) -> Iterator[Tensors]:
    """Rows in random order, in batches."""
    order: list[Tensor] = list(torch.split(torch.randperm(len(rows)), BATCH_SIZE))
    yield from rows.stream(order) if isinstance(rows, LazyTensors) else map(rows.take, order)


def training(paths: list[str]) -> list[Row]:
    found = []
    rows = task(paths)
    for name in LEARNERS:
        for memory, what in ((0.0, "read anew"), (1.0, "in memory")):
            fit = Fit(name, rows, memory)
            torch.manual_seed(0)
            ratios = paired(fit.ours, fit.bare, PAIRS, time.process_time)
            found.append(told(f"epoch of `{name}`, images {what} / bare torch loop", ratios, "at most 1.1"))
    return found


def told(what: str, ratios: list[float], target: str) -> Row:
    """The line, which is shown at once: all together take minutes."""
    found = row(what, ratios, target)
    print(*found.cells, sep=" | ", flush=True)
    return found


def frozen(paths: list[str]) -> list[Row]:
    kept, computed = (Fit("backbone", task(paths), 1.0, freeze=("images.*",), cache_features=each) for each in (True, False))
    ratios = paired(kept.ours, computed.ours, PAIRS, time.process_time)
    return [told("epoch of a frozen `backbone`, features kept / features computed", ratios, "far below 1")]


class Bare:
    """ONNX Runtime on decoded files."""

    def __init__(self, model: Any, paths: list[str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model.to_bytes(), options)
        self.paths = paths

    def predict(self, size: int) -> None:
        for start in range(0, len(self.paths), size):
            images = np.stack([one(path) for path in self.paths[start : start + size]])
            self.session.run(["probabilities"], {"photo": images})


def predicting(paths: list[str]) -> list[Row]:
    found = []
    for name in LEARNERS:
        fitted = learner(name, max_epochs=1).fit(task(paths), progress=False)
        frame = pd.DataFrame({"photo": paths})
        with tempfile.TemporaryDirectory() as folder:
            fitted.save(Path(folder) / "m.onnx")
            model = ol.load(Path(folder) / "m.onnx", n_threads=1)
            bare = Bare(model, paths)
            for size in (BATCH_SIZE, 4):
                ratios = paired(partial(model.predict, frame), partial(bare.predict, size), PAIRS, time.process_time)
                what = f"`predict` of {len(paths)} files, `{name}` / decoding and ONNX Runtime, batches of {size}"
                found.append(told(what, ratios, "at most 1.2"))
    return found


def of_icons(folder: Path) -> list[Row]:
    """Files so small that what surrounds the decoding weighs most."""
    draw = np.random.default_rng(1)
    paths = [str(folder / f"{i}.png") for i in range(N_ICONS)]
    for path in paths:
        Image.fromarray(draw.integers(0, 256, (ICON, ICON, 3), np.uint8)).save(path)
    size = {"image_height": ICON, "image_width": ICON, "width": 8, "max_epochs": 1}
    fitted = learner("cnn", **size).fit(task(paths), progress=False)
    fitted.save(folder / "m.onnx")
    bare, model, frame = Bare(fitted, paths), ol.load(folder / "m.onnx", n_threads=1), pd.DataFrame({"photo": paths})
    ratios = paired(partial(model.predict, frame), partial(bare.predict, BATCH_SIZE), PAIRS, time.process_time)
    what = f"`predict` of {N_ICONS:,} PNG files of {ICON} x {ICON}, `cnn` / decoding and ONNX Runtime, batches of {BATCH_SIZE}"
    return [told(what, ratios, "at most 1.2")]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as icons:
        paths = files(Path(folder), SIDE, N_FILES)
        table = markdown([*training(paths), *frozen(paths), *predicting(paths), *of_icons(Path(icons))])
    if "--write" in sys.argv[1:]:
        write_section(PAGE, "images", table)


if __name__ == "__main__":
    main()
