"""What an iteration of a resampling costs beside the training of its network, part by part; and a whole one against skorch.

python tests/benchmarks/overhead.py                  both tables on stdout
python tests/benchmarks/overhead.py parts            one of them
python tests/benchmarks/overhead.py --write          also into docs/benchmarks.md

Everything by one thread, CPU time, in one process.
"""

from __future__ import annotations

import argparse
import os
import sys

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import contextlib
import functools
import importlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
from datasets import load
from timing import Row, markdown, write_section

import onnxlearn as ol

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
TRAINING = "training"
REST = "the rest"
# Each part and the functions that do it, as the modules that call them know them.
PARTS: dict[str, tuple[str, ...]] = {
    "choosing rows": ("onnxlearn.task:Task.select", "onnxlearn.task:Task.split"),
    "fitting the preprocessing": ("onnxlearn.preprocess.preprocessing:Preprocessing.fit",),
    "making the network": (
        "onnxlearn_models.network_learner:NetworkLearner.prepare",
        "onnxlearn_models.prepared:Prepared.initialize",
    ),
    "running the preprocessing graph": ("onnxlearn_models.prepared:Prepared.tensors",),
    TRAINING: ("onnxlearn_models.network_learner:train_network",),
    "tracing the network": ("onnxlearn_models.lowering.lower:Trace",),
    "lowering it": ("onnxlearn_models.fitted:emit_outputs",),
    "fusing the graph": ("onnxlearn_models.shipping:assemble", "onnxlearn.preprocess.preprocessing:Preprocessing.to_model"),
    "checking it": ("onnxlearn_models.packing:check_serialized",),
    "opening sessions": (
        "onnxlearn_models.packing:open_session",
        "onnxlearn.preprocess.preprocessing:open_session",
        "onnxlearn.model:open_session",
    ),
    "proving parity": ("onnxlearn_models.shipping:prove_parity",),
    "scores of the held-out rows": ("onnxlearn_models.shipping:score_rows",),
    "metadata": ("onnxlearn_models.shipping:pack",),
    "predicting the test rows": ("onnxlearn.model:Model.predict",),
    "measures": ("onnxlearn.experiments.job:scored",),
    "storing": ("onnxlearn.experiments.store:Store.write",),
}


class Clock:
    """Seconds of the processor by part; what one part spends inside another counts for the other alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._inside: list[str] = [REST]
        self._since = time.process_time()
        self.seconds[REST] = 0.0

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._book()
        self._inside.append(name)
        try:
            yield
        finally:
            self._book()
            self._inside.pop()

    def _book(self) -> None:
        now = time.process_time()
        self.seconds[self._inside[-1]] += now - self._since
        self._since = now

    def stop(self) -> dict[str, float]:
        self._book()
        return self.seconds


@contextlib.contextmanager
def clocked() -> Iterator[Clock]:
    """Inside, every function of a part is timed."""
    clock, undo = Clock(), []
    try:
        for part, places in PARTS.items():
            for place in places:
                owner, name = _find(place)
                undo.append((owner, name, vars(owner)[name]))
                setattr(owner, name, _timed(vars(owner)[name], clock, part))
        yield clock
    finally:
        for owner, name, before in reversed(undo):
            setattr(owner, name, before)


def _find(place: str) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    return functools.reduce(getattr, owners, importlib.import_module(module)), name


def _timed(work: Any, clock: Clock, part: str) -> Any:
    plain = work.__func__ if isinstance(work, classmethod) else work

    @functools.wraps(plain, updated=())
    def timed(*args: Any, **kwargs: Any) -> Any:
        with clock.part(part):
            return plain(*args, **kwargs)

    return classmethod(timed) if isinstance(work, classmethod) else timed


class Case(NamedTuple):
    """A learner on a table; ``params`` where the training would take minutes."""

    learner: str
    table: str
    folds: int = 5
    params: Mapping[str, Any] = {}


CASES = (
    Case("mlp", "penguins", 10),
    Case("mlp", "credit_data"),
    Case("mlp", "ames"),
    Case("linear", "breast_cancer", 10),
    Case("tab_resnet", "credit_data"),
    Case("realmlp", "penguins", 10),
    Case("tabnet", "penguins", 10, {"max_epochs": 10}),
    Case("tabm", "penguins", 5, {"max_epochs": 5}),
    Case("ft_transformer", "penguins", 5, {"max_epochs": 5}),
)


def iteration(case: Case, **params: Any) -> dict[str, float]:
    """Milliseconds of each part, mean over the iterations of a resampling that is stored, after one that warms up."""
    dataset = load(case.table)
    task = ol.Task.from_frame(dataset.frame, dataset.target, name=case.table)
    learner = ol.learner(case.learner, **(case.params | params))

    def resample(folds: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            ol.resample(task, learner, ol.CV(folds=folds), store=Path(folder, "store"), models=True, progress=False)

    ol.resample(task, learner.replace(max_epochs=1), ol.CV(folds=2), progress=False)
    with clocked() as clock:
        resample(case.folds)
    return {part: 1000 * seconds / case.folds for part, seconds in clock.stop().items()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for case in CASES:
        found = iteration(case, max_epochs=2)
        print(case.learner, case.table, "training", round(found.pop(TRAINING), 1), "overhead", round(sum(found.values()), 1))
        print("   ", {k: round(v, 1) for k, v in found.items()})
