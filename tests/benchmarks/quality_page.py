"""The quality section of docs/benchmarks.md, made from the scores that are kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from datasets import SOURCES
from rivals import BOOSTING, RIVALS

# Ours, and what it is compared with on the same splits: of several the one with the best mean on the table.
PAIRS: list[tuple[str, tuple[str, ...]]] = [
    ("realmlp", ("pytabkit RealMLP",)),
    ("tabm", ("pytabkit TabM",)),
    ("mlp", ("sklearn MLP",)),
    ("ensemble", ("mlp", "realmlp", "tab_resnet")),
]
WALL = "wall time"  # the note of rows whose seconds are not the processor's


def report(rows: pd.DataFrame) -> str:
    """Scores and ranks, differences of pairs, seconds, and what is missing."""
    rows = rows[rows["data"].isin(SOURCES)]
    scored = rows[rows["score"].notna()]
    ranks = mean_ranks(scored)
    parts = [
        "Mean scores, best in bold; with fewer splits than the others their number in brackets.",
        score_table(scored, ranks),
        "Ours one by one in a field with gradient boosting alone: mean rank of five, and on how many tables it is better.",
        beside_boosting(scored),
        "Differences on the same splits, mean ± standard error (negative: ours is better).",
        pair_table(scored),
        "Seconds of the processor for fit and prediction, median. Of rows with a star, wall time.",
        seconds_table(scored, list(ranks.index)),
        gaps(rows),
    ]
    return "\n\n".join(part for part in parts if part)


def mean_ranks(scored: pd.DataFrame) -> pd.Series:
    """Mean over the tables of the rank on each; best first."""
    ranks = {name: table_ranks(part) for name, part in scored.groupby("data")}
    return pd.DataFrame(ranks).mean(axis=1).sort_values()


def table_ranks(part: pd.DataFrame) -> pd.Series:
    """Rank on one table: 1 and one more for each learner that is better on the mean of the splits that both have."""
    table = part.pivot(index="seed", columns="learner", values="score")
    # Mean differences to the others: NaN, and so not counted, where there is no split that both have.
    beyond = {name: table.drop(columns=name).rsub(table[name], axis=0).mean() for name in table}
    return pd.Series({name: 1 + (np.sign(others).dropna() + 1).sum() / 2 for name, others in beyond.items()})


def beside_boosting(scored: pd.DataFrame) -> str:
    """Each of ours in a field with gradient boosting alone: its mean rank and that of the best of them, and who beats whom."""
    ours = [name for name in mean_ranks(scored).index if name not in RIVALS]
    lines = []
    for learner in ours:
        here = scored[scored["learner"].isin([learner, *BOOSTING])]
        here = here[here["data"].isin(set(here.loc[here["learner"] == learner, "data"]))]
        ranks, n = mean_ranks(here), here["data"].nunique()
        best = ranks.drop(learner).idxmin()
        beaten = [differences(here, learner, [other])["mean"].lt(0).sum() for other in BOOSTING]
        lines.append(
            [shown(learner), f"{ranks[learner]:.2f}", f"{ranks[best]:.2f} ({best})", *(f"{won} of {n}" for won in beaten)]
        )
    return markdown(["learner", "mean rank", "best of boosting", *(f"better than {name}" for name in BOOSTING)], lines)


def score_table(scored: pd.DataFrame, ranks: pd.Series) -> str:
    names, splits = tables_in(scored), scored.groupby("data")["seed"].nunique()
    stats = scored.groupby(["learner", "data"])["score"].agg(["mean", "count"])
    complete = stats[stats["count"] == splits.reindex(stats.index.get_level_values("data")).to_numpy()]
    best = complete["mean"].groupby(level="data").idxmin().to_dict()

    def cell(learner: str, name: str) -> str:
        if (learner, name) not in stats.index:
            return ""
        mean, count = stats.loc[(learner, name)]
        text = f"{mean:.4g}" if best.get(name) != (learner, name) else f"**{mean:.4g}**"
        return text if count == splits[name] else f"{text} ({count:.0f})"

    def rank(learner: str) -> str:
        count, text = stats.loc[learner, "count"].sum(), f"{ranks[learner]:.2f}"
        return text if count == splits.sum() else f"{text} ({count})"

    lines = [[shown(learner), rank(learner), *(cell(learner, name) for name in names)] for learner in ranks.index]
    measures = ["measure, splits", "", *(f"{SOURCES[name][2]}, {splits[name]}" for name in names)]
    return markdown(["learner", "mean rank", *names], [measures, *lines])


def pair_table(scored: pd.DataFrame) -> str:
    columns, heads = [], []
    for learner, others in PAIRS:
        if learner in set(scored["learner"]) and set(others) & set(scored["learner"]):
            columns.append(differences(scored, learner, others))
            heads.append(f"{shown(learner)} - " + (shown(others[0]) if len(others) == 1 else "its best member"))
    splits = scored.groupby("data")["seed"].nunique()

    def cell(column: pd.DataFrame, name: str) -> str:
        return difference(column.loc[name], splits[name]) if name in column.index else ""

    lines = [[name, *(cell(column, name) for column in columns)] for name in tables_in(scored)]
    return markdown(["data", *heads], [*lines, ["better, within one error, worse", *map(verdict, columns)]])


def differences(scored: pd.DataFrame, learner: str, others: Sequence[str]) -> pd.DataFrame:
    """Mean, standard error and number of the differences, by table."""
    found = {}
    for name, part in scored[scored["learner"].isin([learner, *others])].groupby("data"):
        table = part.pivot(index="seed", columns="learner", values="score")
        if learner in table and len(table.columns) > 1:
            table = table.dropna(subset=learner)
            best = table.drop(columns=learner).mean().idxmin()
            pairs = (table[learner] - table[best]).dropna()
            found[name] = (pairs.mean(), pairs.sem(), len(pairs))
    rows = pd.DataFrame.from_dict(found, orient="index", columns=["mean", "error", "count"])
    return rows[rows["count"] > 0]


def difference(row: pd.Series, n_splits: int) -> str:
    text = f"{row['mean']:+.3g}" + (f" ± {row['error']:.2g}" if row["count"] > 1 else "")
    return text if row["count"] == n_splits else f"{text} ({row['count']:.0f})"


def verdict(column: pd.DataFrame) -> str:
    """On how many tables ours is better by more than one standard error, neither, or worse."""
    judged = column[column["count"] > 1]
    better, worse = (judged["mean"] < -judged["error"]).sum(), (judged["mean"] > judged["error"]).sum()
    return f"{better}, {len(judged) - better - worse}, {worse}"


def seconds_table(scored: pd.DataFrame, learners: Sequence[str]) -> str:
    names = tables_in(scored)
    medians = scored.pivot_table(index="learner", columns="data", values="seconds", aggfunc="median")
    wall = set(scored.loc[scored["note"] == WALL, "learner"])

    def cell(seconds: float) -> str:
        return "" if np.isnan(seconds) else f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"

    lines = [[shown(name) + (" *" if name in wall else ""), *map(cell, medians.loc[name, names])] for name in learners]
    return markdown(["learner", *names], lines)


def gaps(rows: pd.DataFrame) -> str:
    """Fits without a score, and why."""
    without = rows[rows["score"].isna()].groupby(["learner", "data", "note"])["seed"].count()
    lines = [f"- {shown(learner)}, {name}: {count} {note}" for (learner, name, note), count in without.items()]
    return "Without a score:\n\n" + "\n".join(lines) if lines else ""


def tables_in(rows: pd.DataFrame) -> list[str]:
    return [name for name in SOURCES if name in set(rows["data"])]


def shown(learner: str) -> str:
    return learner if learner in RIVALS else f"`{learner}`"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])
