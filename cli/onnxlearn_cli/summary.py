"""What ``resample`` and ``benchmark`` tell of their results: means, ranks, failures, and the file of scores."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from onnxlearn.errors import DataError, InterruptedFit, OnnxlearnError, ParameterError
from onnxlearn_cli.talk import say, show, show_table

if TYPE_CHECKING:
    import pandas as pd

    from onnxlearn.experiments.results import BenchmarkResult

ScoresFile: TypeAlias = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Also write the scores of all folds: .csv, .parquet, ...")
]
Jobs: TypeAlias = Annotated[int, typer.Option("--jobs", metavar="N", help="Processes; -1 is one a core.")]


@contextlib.contextmanager
def scores_file(out: Path | None, *inputs: str | Path) -> Iterator[Path | None]:
    """Where to write the scores that go to ``out``; what cannot be written is refused now, not after the fits."""
    from onnxlearn.files.outputs import STDOUT, atomic_path, require_other_file
    from onnxlearn.files.writers import writable_suffix

    if out is None:
        yield None
        return
    if str(out) == STDOUT:
        raise ParameterError("--out has to be a file: standard output gets the table of means")
    writable_suffix(out)
    require_other_file(out, *inputs)
    with atomic_path(out) as temporary:
        yield temporary


def write_scores(result: BenchmarkResult, temporary: Path | None, out: Path | None) -> None:
    """The scores of all folds, in the format of ``out``."""
    from onnxlearn.files.writers import output_suffix, write_table

    if temporary is None or out is None:
        return
    scores = result.scores
    write_table(temporary, {name: scores[name].to_numpy() for name in scores.columns}, suffix=output_suffix(out))


@contextlib.contextmanager
def told_what_is_kept(store: Path | None) -> Iterator[None]:
    """After Ctrl-C say where the finished iterations are."""
    try:
        yield
    except KeyboardInterrupt:
        if store is None:
            raise
        raise InterruptedFit(f"interrupted; what was finished is in {str(store)!r}: the same call goes on from there") from None


def summarise(result: BenchmarkResult, out: Path | None) -> None:
    """A table of means for each task, mean ranks over several tasks, what failed, and what was written."""
    groups = list(dict.fromkeys((record.task, record.resampling) for record in result.records))
    if all(record.status != "done" for record in result.records):
        _say_errors(result, with_task=len(groups) > 1)
        raise OnnxlearnError("every fit failed; the reasons stand above")
    for n, (task, resampling) in enumerate(groups):
        some = result.filter(tasks=[task], resamplings=[resampling])
        if len(groups) > 1:
            show("\n" * (n > 0) + f"{task}, {resampling}")
        _show_means(some, some.scores)
        if some.inner_records:
            show(f"\n{task}, {resampling}, inner splits")
            _show_means(some, some.inner)
    for resampling in dict.fromkeys(resampling for _, resampling in groups):
        _show_ranks(result.filter(resamplings=[resampling]), resampling)
    _say_errors(result, with_task=len(groups) > 1)
    for note in dict.fromkeys(f"{record.learner}: {note}" for record in result.records for note in record.notes):
        say(note)
    if out is not None:
        show("\n" * (len(groups) > 1) + f"wrote {out} ({len(result.records)} folds)")


def _say_errors(result: BenchmarkResult, *, with_task: bool) -> None:
    """Every error once, with the iterations that it came in."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for error in result.errors.to_dict("records"):
        # Of iterations that are no inner ones it is a missing number.
        inner = f" (inner split {error['inner']:.0f})" if error.get("inner", -1) >= 0 else ""
        places.setdefault((error["learner"], error["task"], error["error"]), []).append(f"{error['iteration']}{inner}")
    for (learner, task, text), found in places.items():
        shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
        where = f" on {task}" if with_task else ""
        say(f"{learner}{where}, iteration{'s' if len(found) > 1 else ''} {shown}: {text}")


def _show_means(result: BenchmarkResult, scores: pd.DataFrame) -> None:
    """A line for each learner: the mean of each measure that suits the task and its standard error."""
    from onnxlearn import statistics
    from onnxlearn.card import number

    names = [name for name in result.measures if scores[name].notna().any()]
    lines: dict[str, list[str]] = {learner: [] for learner in dict.fromkeys(scores["learner"])}
    numbered = scores.assign(iteration=scores.groupby("learner").cumcount())
    for name in names:
        # Which end is the better one does not matter here, and not every measure has one.
        for mean in statistics.means(statistics.Scores.from_frame(numbered, name, minimize=True)).means:
            # One score has no standard error, and failed ones have neither.
            lines[mean.learner].append(number(mean.mean) + (f" ± {number(mean.se)}" if mean.se == mean.se else ""))
    counts = scores["status"].ne("done").groupby(scores["learner"]).agg(["size", "sum"])
    rows = [[learner, *texts, *map(str, counts.loc[learner])] for learner, texts in lines.items()]
    show_table(["learner", *names, "folds", "failed"], rows)


def _show_ranks(result: BenchmarkResult, resampling: str) -> None:
    """Mean ranks over the tasks that a measure suits, where there are several of them and of the learners."""
    from onnxlearn import measures, statistics
    from onnxlearn.card import number

    columns: dict[str, dict[str, str]] = {}
    for name in result.measures:
        suited = result.scores.groupby("task")[name].transform("count") > 0
        scores = result.scores[suited]
        n_tasks = scores["task"].nunique()
        if n_tasks < 2 or scores["learner"].nunique() < 2 or measures.get(name).minimize is None:
            continue
        try:
            ranks = statistics.ranks(statistics.Scores.from_frame(scores, name))
        except DataError as error:
            say(f"no ranks by {name}: {error}")
            continue
        columns[f"{name} ({n_tasks} tasks)"] = dict(zip(ranks.learners, map(number, ranks.mean), strict=True))
    if not columns:
        return
    learners = dict.fromkeys(result.scores["learner"])
    show(f"\nmean ranks, 1 is the best, {resampling}")
    show_table(["learner", *columns], [[name, *(ranks.get(name, "-") for ranks in columns.values())] for name in learners])
