"""What a search costs beside the trials themselves: asking, telling, keeping.

python tests/benchmarks/search_overhead.py            a table on stdout
python tests/benchmarks/search_overhead.py --write    also into docs/benchmarks.md

Before or after each trial of a search, in turn, the same learner is resampled on the same splits by ``ol.resample``, which does
not count for the search: so both find the machine alike. By one thread, in one process.
"""

from __future__ import annotations

import argparse
import os
import sys

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import contextlib
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))
from datasets import load
from timing import write_section

import onnxlearn as ol
from onnxlearn.tuning import run

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
N_TRIALS = 50
LEARNER = ol.learner("mlp", max_epochs=3, seed=0, device="cpu")
SPACE = {
    "lr": ol.Range(1e-4, 1e-1, log=True), "weight_decay": ol.Range(1e-6, 1e-1, log=True), "dropout": ol.Range(0.0, 0.5),
    "n_blocks": ol.Range(1, 4), "d_block": ol.Range(32, 256), "num_embedding": ["none", "pbld"],
}  # fmt: skip


class Spent(NamedTuple):
    """Seconds on the wall and of the processor."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Spent:
        return cls(time.perf_counter(), time.process_time())

    def minus(self, other: Spent) -> Spent:
        return Spent(self.wall - other.wall, self.cpu - other.cpu)

    def plus(self, other: Spent) -> Spent:
        return Spent(self.wall + other.wall, self.cpu + other.cpu)


class Search(NamedTuple):
    """What a whole search took, its trials alone, and a bare loop over the same learners and splits."""

    whole: Spent
    trials: Spent
    loop: Spent


def measured(task: ol.Task, sampler: str, store: Path | None, n_trials: int) -> Search:
    """A search after something that warms up."""
    splits = ol.CV(folds=3).split(task)
    ol.resample(task, LEARNER, splits, "logloss", progress=False)
    loop, trials = Watch(), Watch()

    def bare(asked: run.Asked) -> None:
        with loop.running():
            ol.resample(task, asked.candidate.learner, splits, "logloss", progress=False)

    whole = Watch()
    with whole.running(), beside_each_trial(bare, trials):
        ol.tune(task, LEARNER, SPACE, splits, "logloss", n_trials, sampler=sampler, store=store, progress=False)
    return Search(whole.spent.minus(loop.spent), trials.spent, loop.spent)


class Watch:
    """A stop watch."""

    def __init__(self) -> None:
        self.spent = Spent(0.0, 0.0)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        start = Spent.now()
        yield
        self.spent = self.spent.plus(Spent.now().minus(start))


@contextlib.contextmanager
def beside_each_trial(work: Callable[[run.Asked], None], watch: Watch) -> Iterator[None]:
    """Inside, something else is done before or after each trial, in turn: the first of two finds caches cold."""
    run_trial, n_run = run.run_trial, 0

    def accompanied(asked: run.Asked, common: run.Work) -> object:
        nonlocal n_run
        n_run += 1
        if n_run % 2:
            work(asked)
        with watch.running():
            outcome = run_trial(asked, common)
        if not n_run % 2:
            work(asked)
        return outcome

    with mock.patch("onnxlearn.tuning.tune.run_trial", accompanied):
        yield


def table(task: ol.Task, n_trials: int) -> str:
    head = ["sampler", "store", "a trial", "between two trials", "share", "CPU time beyond the bare loop"]
    lines = [head, ["---"] * len(head)]
    for sampler in ("random", "tpe"):
        for where in ("memory", "folder"):
            with tempfile.TemporaryDirectory() as folder:
                whole, trials, loop = measured(task, sampler, Path(folder, "study") if where == "folder" else None, n_trials)
            between = whole.minus(trials).wall
            lines.append([
                f"`{sampler}`", where, f"{1000 * trials.wall / n_trials:,.0f} ms", f"{1000 * between / n_trials:.0f} ms",
                f"{between / whole.wall:.1%}", f"{1 - loop.cpu / whole.cpu:.1%}",
            ])  # fmt: skip
            print(*lines[-1], file=sys.stderr)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=N_TRIALS)
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    if options.write and options.trials != N_TRIALS:
        parser.error(f"--write takes {N_TRIALS} trials")
    warnings.simplefilter("ignore")  # of the packages
    dataset = load("credit_data")
    text = table(ol.Task.from_frame(dataset.frame, dataset.target, name="credit_data"), options.trials)
    print(text)
    if options.write:
        write_section(PAGE, "search overhead", text)


if __name__ == "__main__":
    main()
