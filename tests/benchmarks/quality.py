"""Quality of our learners with no argument against their rivals on ten public tables.

python tests/benchmarks/quality.py                               what is missing in quality.csv; days on one core from nothing
python tests/benchmarks/quality.py --data penguins --learner mlp "pytabkit TabM"    some of it
python tests/benchmarks/quality.py --learner mlp --again         once more, after a change
python tests/benchmarks/quality.py --scores other.csv            keep the scores elsewhere ...
python tests/benchmarks/quality.py --merge other.csv             ... and take them over
python tests/benchmarks/quality.py --write                       also into docs/benchmarks.md; with --kept nothing is computed

Every fit is a process of its own. Rows are appended as fits end, so that a run can be stopped and goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # one thread for everybody

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from datasets import SOURCES
from fits import Fit, Outcome, dataset, n_seeds, outcomes, over
from quality_page import report
from rivals import RIVALS
from timing import write_section

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
KEPT = HERE / "quality.csv"
KEY = list(Fit._fields)
FIELDS = [*KEY, *Outcome._fields]
# There is nothing to fit without the network that it wraps; what searches has a benchmark of its own.
NEED_ARGUMENTS = {"auto", "graph", "module"}


def our_learners() -> list[str]:
    from onnxlearn.registry import learner_infos

    return [name for name in learner_infos() if name not in NEED_ARGUMENTS]


def read(*paths: Path) -> pd.DataFrame:
    """Rows of all files that exist; of several about the same fit the last."""
    tables = [
        pd.read_csv(path, keep_default_na=False, na_values={"score": "", "seconds": ""}) for path in paths if path.exists()
    ]
    rows = pd.concat([pd.DataFrame(columns=FIELDS), *tables]) if tables else pd.DataFrame(columns=FIELDS)
    return rows.drop_duplicates(KEY, keep="last").sort_values(KEY, ignore_index=True)


def append(path: Path, fit: Fit, outcome: Outcome) -> None:
    """One line, written at once."""
    row = pd.DataFrame([(*fit, float(f"{outcome.score:.7g}"), round(outcome.seconds, 2), outcome.note)], columns=FIELDS)
    text = row.to_csv(index=False, header=not path.exists(), lineterminator="\n")
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def wanted(data: Sequence[str], learners: Sequence[str], seeds: Sequence[int] | None) -> list[Fit]:
    """All splits of the tables, one seed after the other: what a stopped run leaves can be compared in pairs."""
    splits = [(seed, name) for name in data for seed in (seeds or range(n_seeds(dataset(name))))]
    return [Fit(name, learner, seed) for seed, name in sorted(splits, key=lambda pair: pair[0]) for learner in learners]


def missing(fits: Iterable[Fit], kept: pd.DataFrame, limit: float) -> list[Fit]:
    """Fits that have neither a score nor exceeded this limit."""
    known = kept[kept["score"].notna() | (kept["note"] == over(limit))]
    done = set(known[KEY].itertuples(index=False, name=None))
    return [fit for fit in fits if fit not in done]


def main() -> None:
    known = [*our_learners(), *RIVALS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    parser.add_argument("--learner", nargs="+", choices=known, default=known)
    parser.add_argument("--seed", nargs="+", type=int, help="some of the splits")
    parser.add_argument("--jobs", type=int, default=1, help="fits at a time")
    parser.add_argument("--limit", type=float, default=600, help="CPU seconds that a fit may take")
    parser.add_argument("--again", action="store_true", help="also what there is")
    parser.add_argument("--kept", action="store_true", help="compute nothing")
    parser.add_argument("--scores", type=Path, default=KEPT, help="CSV file that keeps the scores")
    parser.add_argument("--merge", nargs="+", type=Path, default=[], help="CSV files whose scores are taken over")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/benchmarks.md")
    options = parser.parse_args()
    if options.merge:
        tidy(options.scores, read(options.scores, *options.merge))
    if not options.kept:
        fits = wanted(options.data, options.learner, options.seed)
        compute(fits if options.again else missing(fits, read(options.scores), options.limit), options)
    text = report(read(options.scores))
    print(text)
    if options.write:
        tidy(options.scores, read(options.scores))
        write_section(PAGE, "quality", text)


def compute(fits: Sequence[Fit], options: argparse.Namespace) -> None:
    for i, (fit, outcome) in enumerate(outcomes(fits, options.jobs, options.limit), 1):
        append(options.scores, fit, outcome)
        print(f"{i}/{len(fits)}", *fit, *outcome, file=sys.stderr, flush=True)


def tidy(path: Path, rows: pd.DataFrame) -> None:
    """The same rows once each and in order, so that versions of the file can be compared."""
    beside = path.with_suffix(".new")
    rows.to_csv(beside, index=False, lineterminator="\n")
    beside.replace(path)


if __name__ == "__main__":
    main()
