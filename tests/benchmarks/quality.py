"""Quality of `mlp` with no argument against its rivals on ten public tables.

python tests/benchmarks/quality.py                          everything; hours on one core
python tests/benchmarks/quality.py --data penguins ames     some tables
python tests/benchmarks/quality.py --scores scores.csv      keep the scores, go on where a run stopped
python tests/benchmarks/quality.py --write                  also into docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # one thread for everybody

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from datasets import SOURCES, Dataset, load
from rivals import BOOSTING, LEARNERS, Split
from timing import write_section

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
FIELDS = ["data", "learner", "seed", "score", "seconds"]


def n_seeds(dataset: Dataset) -> int:
    return 10 if len(dataset.frame) < 10_000 else 3


def split(dataset: Dataset, seed: int) -> Split:
    from sklearn.model_selection import train_test_split

    is_classification = dataset.measure == "logloss"
    classes = dataset.frame[dataset.target] if is_classification else None
    train, test = train_test_split(np.arange(len(dataset.frame)), test_size=0.2, random_state=seed, stratify=classes)
    frame = dataset.frame
    return Split(frame.iloc[train], frame.iloc[test], dataset.target, is_classification, seed)


def score(name: str, part: Split) -> float:
    from sklearn.metrics import log_loss

    predicted = LEARNERS[name](part)
    truth = part.test[part.target].to_numpy()
    if part.is_classification:
        return float(log_loss(truth, predicted, labels=np.unique(part.y)))
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def run(names: list[str], learners: list[str], seed0: int, path: Path | None) -> pd.DataFrame:
    """Scores of all that is not in the file yet, and of what is."""
    known = pd.read_csv(path) if path and path.exists() else pd.DataFrame(columns=FIELDS)
    rows = known.to_dict("records")
    done = {(row["data"], row["learner"], row["seed"]) for row in rows}
    for name in names:
        dataset = load(name)
        for seed in range(seed0, seed0 + n_seeds(dataset)):
            for learner in learners:
                if (name, learner, seed) in done:
                    continue
                start = time.perf_counter()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # rivals that stop before they converge say so
                    value = score(learner, split(dataset, seed))
                rows.append(dict(zip(FIELDS, (name, learner, seed, value, time.perf_counter() - start), strict=True)))
                print(*rows[-1].values(), file=sys.stderr)
                if path:
                    pd.DataFrame(rows).to_csv(path, index=False)
    return pd.DataFrame(rows)


def summary(scores: pd.DataFrame) -> tuple[str, str]:
    """The table and the sentence below it."""
    lines, gaps, better, worse = [], [], 0, 0
    for name in [name for name in SOURCES if name in set(scores["data"])]:
        table = scores[scores["data"] == name].pivot(index="seed", columns="learner", values="score").dropna()
        means, gain = table.mean(), table["sklearn MLP"] - table["mlp"]
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        best = means[list(BOOSTING)].min()
        gaps.append(100 * (means["mlp"] / best - 1))
        better, worse = better + (gain.mean() > error), worse + (-gain.mean() > error)
        cells = [name, SOURCES[name][2], str(len(table)), *(f"{means[learner]:.4g}" for learner in LEARNERS)]
        seconds = scores[(scores["data"] == name) & (scores["learner"] == "mlp")]["seconds"].median()
        lines.append([*cells, f"{gain.mean():+.3g} ± {error:.2g}", f"{gaps[-1]:+.1f} %", f"{seconds:.0f}"])
    head = ["data", "measure", "splits", *LEARNERS, "gain over sklearn MLP", "gap to best boosting", "`mlp` fit and predict, s"]
    table_text = "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])
    sentence = (
        f"Better than scikit-learn's multi-layer perceptron by more than one standard error on {better} of {len(lines)}, worse "
        f"by more than one on {worse}; median gap to the best of the boosting libraries {np.median(gaps):+.1f} %."
    )
    return table_text, sentence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", choices=list(SOURCES), default=list(SOURCES))
    parser.add_argument("--learner", nargs="*", choices=list(LEARNERS), default=list(LEARNERS))
    parser.add_argument("--seed", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--scores", type=Path, help="CSV file that keeps the scores")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    scores = run(options.data, options.learner, options.seed, options.scores)
    if set(scores["learner"]) != set(LEARNERS):
        print(scores.groupby(["data", "learner"])["score"].agg(["mean", "sem", "count"]))
        return
    text = "\n\n".join(summary(scores))
    print(text)
    if options.write:
        write_section(PAGE, "quality", text)


if __name__ == "__main__":
    main()
