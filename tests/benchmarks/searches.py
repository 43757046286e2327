"""What searching gains: `mlp` tuned against `mlp` as it is, and `auto` against rivals that search for the same time.

python tests/benchmarks/searches.py tuned            what is missing in searches.csv, about an hour on two cores
python tests/benchmarks/searches.py auto             likewise, two hours; needs lightgbm, catboost and pytabkit
python tests/benchmarks/searches.py auto --budget 60 --scores other.csv
python tests/benchmarks/searches.py tuned --write    also into docs/benchmarks.md; with --kept nothing is computed

Every fit is a process of its own, one after the other, with all cores. Rows are appended as fits end.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from datasets import load
from fits import score, split
from rivals import Split, imputed
from searching_rivals import searched
from timing import write_section

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
DATA = ("breast_cancer", "diabetes", "penguins", "ames", "credit_data", "wa_churn")
BUDGET, N_TRIALS, N_CORES = 300.0, 30, 2
# A rival that does not end in so many times its time is ended.
MOST_TIMES = 3


class Fit(NamedTuple):
    """What is fitted on which split of which table, for how many seconds."""

    data: str
    contender: str
    seed: int
    budget: float


def ours(part: Split, learner: object) -> np.ndarray:
    """Predictions of the exported file of a learner of ours."""
    import onnxlearn as ol

    task = ol.Task.from_frame(part.train, part.target, type="classification" if part.is_classification else "regression")
    prediction = learner.fit(task, progress=False).predict(part.test)  # type: ignore[attr-defined]
    found: np.ndarray = prediction.prob if part.is_classification else prediction.response
    return found


def default(part: Split, budget: float) -> np.ndarray:
    import onnxlearn as ol

    del budget
    return ours(part, ol.learner("mlp", seed=part.seed))


def tuned(part: Split, budget: float) -> np.ndarray:
    import onnxlearn as ol

    del budget
    return ours(part, ol.tuned(ol.learner("mlp", seed=part.seed), "medium", budget=N_TRIALS, seed=part.seed))


def auto(part: Split, budget: float) -> np.ndarray:
    import onnxlearn as ol

    return ours(part, ol.learner("auto", budget=f"{budget:g}s", seed=part.seed, n_jobs=N_CORES))


def pytabkit_realmlp(part: Split, budget: float) -> np.ndarray:
    """Its search over RealMLP's published space: five folds, whose models are averaged, greedy selection among the trials."""
    import pytabkit

    train, test = imputed(part)
    cls = getattr(pytabkit, f"RealMLP_HPO_{'Classifier' if part.is_classification else 'Regressor'}")
    # Without a number of steps that can be reached the time ends it.
    found = cls(
        device="cpu", n_cv=5, n_hyperopt_steps=10_000, use_caruana_ensembling=True, time_limit_s=budget, n_threads=N_CORES,
        random_state=part.seed, val_metric_name="cross_entropy" if part.is_classification else "rmse",
    ).fit(train, part.y)  # fmt: skip
    return found.predict_proba(test) if part.is_classification else np.ravel(found.predict(test))


CONTENDERS: dict[str, dict[str, Callable[[Split, float], np.ndarray]]] = {
    "tuned": {"`mlp`": default, "`mlp`, tuned": tuned},
    "auto": {
        "`auto`": auto,
        "LightGBM": searched("LightGBM", N_CORES),
        "CatBoost": searched("CatBoost", N_CORES),
        "pytabkit RealMLP": pytabkit_realmlp,
    },
}
ALL = {name: run for several in CONTENDERS.values() for name, run in several.items()}


def work(fit: Fit, sender: object) -> None:
    """In the child: score and wall time of one fit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)  # some rivals print what they do
    part = split(load(fit.data), fit.seed)
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = score(part, ALL[fit.contender](part, fit.budget))
        sender.send((found, time.perf_counter() - start, ""))  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001
        sender.send((np.nan, time.perf_counter() - start, " ".join(f"{type(error).__name__}: {error}".split())[:200]))  # type: ignore[attr-defined]


def run(fit: Fit) -> tuple[float, float, str]:
    """Score, seconds, and why there is none."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(fit, sender))
    process.start()
    sender.close()
    most = MOST_TIMES * fit.budget + 120 if fit.contender in CONTENDERS["auto"] else 7200
    try:
        if receiver.poll(most):
            found: tuple[float, float, str] = receiver.recv()
            return found
        return np.nan, most, "not over"
    except EOFError:
        return np.nan, np.nan, "its process died"
    finally:
        process.kill()
        process.join()


def read(path: Path) -> pd.DataFrame:
    """What is known."""
    columns = [*Fit._fields, "score", "seconds", "note"]
    known = (
        pd.read_csv(path, keep_default_na=False, na_values={"score": "", "seconds": ""})
        if path.exists() and path.stat().st_size
        else None
    )
    return pd.DataFrame(columns=columns) if known is None else known.drop_duplicates(list(Fit._fields), keep="last")


def compute(fits: Sequence[Fit], path: Path) -> None:
    """Run what is missing, one after the other."""
    known = set(read(path)[list(Fit._fields)].itertuples(index=False, name=None))
    for fit in fits:
        if tuple(fit) in known:
            continue
        found, seconds, note = run(fit)
        line = pd.DataFrame(
            [[*fit, float(f"{found:.6g}"), round(seconds, 1), note]], columns=[*Fit._fields, "score", "seconds", "note"]
        )
        with path.open("a", encoding="utf-8") as file:
            file.write(line.to_csv(index=False, header=not path.stat().st_size, lineterminator="\n"))
        print(*fit, f"{found:.5g}", f"{seconds:.0f} s", note, file=sys.stderr, flush=True)


def gains(rows: pd.DataFrame) -> str:
    """By table: scores, and what the search takes off the error, in per cent with the standard error over splits."""
    lines = ["| data | splits | `mlp` | tuned | less error |", "| --- | --- | --- | --- | --- |"]
    means = []
    for data in DATA:
        table = rows[rows["data"] == data].pivot_table(index="seed", columns="contender", values="score").dropna()
        if len(table) < 2:
            continue
        gain = 100 * (1 - table["`mlp`, tuned"] / table["`mlp`"])
        means.append(gain.mean())
        lines.append(
            f"| {data} | {len(table)} | {table['`mlp`'].mean():.4g} | {table['`mlp`, tuned'].mean():.4g} | "
            f"{gain.mean():+.1f} % ± {gain.sem():.1f} |"
        )
    if len(means) > 1:
        lines.append(f"| mean of {len(means)} tables |  |  |  | {np.mean(means):+.1f} % ± {pd.Series(means).sem():.1f} |")
    return "\n".join(lines)


def ranks(rows: pd.DataFrame) -> str:
    """By contender: mean rank, and the score on each table."""
    names = list(CONTENDERS["auto"])
    scores = rows.pivot_table(index=["data", "seed"], columns="contender", values="score").reindex(columns=names).dropna()
    order = scores.rank(axis=1).mean().sort_values()
    means = scores.groupby("data").mean()
    lines = [
        f"| contender | mean rank of {len(scores)} splits | {' | '.join(means.index)} |",
        f"| --- | --- |{' --- |' * len(means)}",
        *(
            f"| {name} | {order[name]:.2f} | {' | '.join(f'{means.loc[data, name]:.4g}' for data in means.index)} |"
            for name in order.index
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(CONTENDERS))
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--contender", nargs="+", choices=list(ALL))
    parser.add_argument("--seeds", type=int, help="splits of each table: 3 for tuned, 1 for auto")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds of each search")
    parser.add_argument("--kept", action="store_true", help="compute nothing")
    parser.add_argument("--scores", type=Path, default=HERE / "searches.csv", help="CSV file that keeps the scores")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    contenders = options.contender or list(CONTENDERS[options.what])
    n_seeds = options.seeds or (3 if options.what == "tuned" else 1)
    budget = options.budget if options.what == "auto" else 0.0
    options.scores.touch()
    if not options.kept:
        compute(
            [Fit(data, name, seed, budget) for seed in range(n_seeds) for data in options.data for name in contenders],
            options.scores,
        )
    rows = read(options.scores)
    rows = rows[rows["contender"].isin(CONTENDERS[options.what]) & (rows["budget"] == budget)]
    text = (gains if options.what == "tuned" else ranks)(rows)
    print(text)
    if options.write:
        write_section(PAGE, options.what, text)


if __name__ == "__main__":
    main()
