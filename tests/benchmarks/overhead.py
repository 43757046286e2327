"""What an iteration of a resampling costs beside the training of its network; and a whole resampling against skorch.

python tests/benchmarks/overhead.py                      everything, tables on stdout
python tests/benchmarks/overhead.py mlp tabnet skorch    some learners, the comparison
python tests/benchmarks/overhead.py --write              also into docs/benchmarks.md

By one thread, in one process; time of the processor.
"""

from __future__ import annotations

import argparse
import os
import sys

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import skorch_cv
from datasets import load
from parts import TRAINING, clocked
from timing import Row, markdown, paired, row, write_section

import onnxlearn as ol

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
SKORCH = "skorch"
MOST_MILLISECONDS, MOST_SHARE = 80, 0.05


class Case(NamedTuple):
    """A learner with its defaults on a table, and on how many folds of a 10-fold cross-validation."""

    learner: str
    table: str
    n_folds: int

    @property
    def title(self) -> str:
        return f"`{self.learner}`, {self.table}"


CASES = (
    Case("mlp", "penguins", 10),
    Case("mlp", "credit_data", 4),
    Case("mlp", "ames", 4),
    Case("linear", "breast_cancer", 10),
    Case("entity_mlp", "diabetes", 10),
    Case("tab_resnet", "credit_data", 4),
    Case("realmlp", "penguins", 5),
    Case("tabnet", "penguins", 5),
    Case("tabm", "penguins", 3),
    Case("ft_transformer", "penguins", 3),
)


def milliseconds(case: Case) -> dict[str, float]:
    """Of each part, mean over iterations that keep everything, after one that warms up."""
    dataset = load(case.table)
    task = ol.Task.from_frame(dataset.frame, dataset.target, name=case.table)
    learner, splits = ol.learner(case.learner), ol.CV(folds=10).split(task)
    ol.resample(task, learner.replace(max_epochs=1), first(splits, 1), progress=False)
    with tempfile.TemporaryDirectory() as folder, clocked() as clock:
        store = Path(folder, "store")
        ol.resample(task, learner, first(splits, case.n_folds), store=store, models=True, progress=False)
    return {part: 1000 * seconds / case.n_folds for part, seconds in clock.seconds.items()}


def first(splits: ol.Splits, n: int) -> ol.Resampling:
    """The first of several iterations."""
    return ol.Custom(train=[splits.train(i) for i in range(n)], test=[splits.test(i) for i in range(n)])


def overhead(parts: Mapping[str, float]) -> float:
    """All but the training; the arithmetic of the network in proof, scores and predictions counts too."""
    return sum(parts.values()) - parts[TRAINING]


def table_of_folds(found: Mapping[Case, Mapping[str, float]]) -> str:
    head = ["learner, table", "whole iteration", "overhead", "share", "at most"]
    lines = [head, ["---"] * len(head)]
    for case, parts in found.items():
        whole, beside = sum(parts.values()), overhead(parts)
        most = max(MOST_MILLISECONDS, MOST_SHARE * whole)
        lines.append([case.title, f"{whole:,.0f} ms", f"{beside:.0f} ms", f"{beside / whole:.1%}", f"{most:.0f} ms"])
    return as_table(lines)


def table_of_parts(found: Mapping[Case, Mapping[str, float]]) -> str:
    lines = [["milliseconds", *(case.title for case in found)], ["---"] * (1 + len(found))]
    names = next(iter(found.values()))
    lines += [[name, *(f"{parts[name]:,.1f}" for parts in found.values())] for name in names]
    return as_table(lines)


def as_table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def compare(pairs: int = 5) -> list[Row]:
    """10-fold cross-validation of the penguins; the networks have to be the same.

    Raises: ValueError where they are not.
    """
    task = ol.Task.from_file("example:penguins", "species")
    splits = ol.CV(folds=10).split(task)
    ours, theirs = skorch_cv.count_parameters(task)
    if ours != theirs:
        raise ValueError(f"{ours} parameters against {theirs}: not the same network")
    for name, run in (("onnxlearn", skorch_cv.ours), ("skorch", skorch_cv.theirs)):
        print(f"{name}: {run(task, splits)}", file=sys.stderr)
    ratios = paired(
        lambda: skorch_cv.theirs(task, splits), lambda: skorch_cv.ours(task, splits), pairs, clock=time.process_time, warm_up=0
    )
    what = f"10-fold cross-validation of the penguins, {skorch_cv.EPOCHS} epochs: skorch in `cross_validate` / `resample`"
    return [row(what, ratios, "at least 2")]


def main() -> None:
    names = list(dict.fromkeys([*(case.learner for case in CASES), SKORCH]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *names])
    parser.add_argument("--write", action="store_true", help="write the tables into docs/benchmarks.md")
    options = parser.parse_args()
    if options.names and options.write:
        parser.error("--write takes all of it: give no names")
    warnings.simplefilter("ignore")  # of the packages
    wanted = options.names or names
    tables = {}
    if found := {case: milliseconds(case) for case in CASES if case.learner in wanted}:
        tables |= {"overhead": table_of_folds(found), "parts": table_of_parts(found)}
    if SKORCH in wanted:
        tables["skorch"] = markdown(compare())
    print("\n\n".join(tables.values()))
    if options.write:
        for marker, text in tables.items():
            write_section(PAGE, marker, text)


if __name__ == "__main__":
    main()
