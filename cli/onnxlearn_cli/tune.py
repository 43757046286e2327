"""``onnxlearn tune``: search for the parameters of learners by what their exported files score."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxlearn.errors import ParameterError
from onnxlearn_cli.fit import read_levels, read_task
from onnxlearn_cli.options import (
    Data,
    Format,
    Group,
    Id,
    Ignore,
    Images,
    Kinds,
    Levels,
    Measures,
    Na,
    Order,
    Positive,
    Stratum,
    TargetColumns,
    TaskType,
    Weight,
    figure_file,
    find_own_code,
    image_rules,
    learner_record,
    pairs,
)
from onnxlearn_cli.report import page_file, write_nothing
from onnxlearn_cli.resample import choose_resampling, configure_all
from onnxlearn_cli.summary import Jobs, told_what_is_kept
from onnxlearn_cli.talk import say, show, show_table

if TYPE_CHECKING:
    from onnxlearn.tuning.result import Tuning

# Trials that are shown, the best ones.
SHOWN = 5


def tune(
    data: Data,
    target: TargetColumns,
    learner: Annotated[
        list[str] | None,
        typer.Option("--learner", metavar="NAME", help="See onnxlearn learners. Repeatable: one is chosen; mlp if not given."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Parameter of every learner that has it, or as LEARNER.KEY=VALUE of one. Repeatable.",
        ),
    ] = None,
    space: Annotated[
        str,
        typer.Option("--space", metavar="SIZE|FILE", help="What is searched: small, medium, large, or a TOML file of ranges."),
    ] = "medium",
    budget: Annotated[
        str, typer.Option("--budget", metavar="TRIALS|TIME", help="Trials, or a time such as 90s, 10m or 1h.")
    ] = "30",
    sampler: Annotated[str, typer.Option("--sampler", metavar="NAME", help="tpe, random, cmaes or grid.")] = "tpe",
    pruner: Annotated[
        str | None, typer.Option("--pruner", metavar="NAME", help="Stop hopeless trials: hyperband, halving or median.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", metavar="N", help="Folds of each trial; 3 if not given.", min=2)
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", help="Times that they are repeated.", min=1)] = 1,
    holdout: Annotated[
        float | None, typer.Option("--holdout", metavar="SHARE", help="Instead: one split, with this share to test on.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of search, training and splits.")] = None,
    measure: Measures = None,
    jobs: Jobs = 1,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", metavar="SECONDS", help="Longest fit; a trial with a longer one has failed.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", metavar="FOLDER|URL", help="Keep the search in a folder or a database; the same call goes on with it."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="TOML file of the best parameters, for fit --params.")
    ] = Path("best.toml"),
    trials: Annotated[
        Path | None, typer.Option("--trials", metavar="FILE", help="Also write a line for each trial, as CSV.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Also draw the trials' scores: .svg, .png or .pdf (extra plot)."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Also write a page about the search (extra report).")
    ] = None,
    task: TaskType = None,
    positive: Positive = None,
    kind: Kinds = None,
    images: Images = None,
    levels: Levels = None,
    group: Group = None,
    stratum: Stratum = None,
    weight: Weight = None,
    order: Order = None,
    id_: Id = None,
    ignore: Ignore = None,
    na: Na = None,
    format_: Format = None,
) -> None:
    """Search for the parameters that score best, by exported files on rows that they have not seen.

    Writes what fit --params reads: the best parameters, and for how many epochs to train on all rows.
    """
    from onnxlearn.files.outputs import atomic_path, require_other_file
    from onnxlearn.tuning.budget import budget_of
    from onnxlearn.tuning.files import write_params
    from onnxlearn.tuning.result import params_text
    from onnxlearn.tuning.tune import tune as search

    names = learner or ["mlp"]
    for name in names:
        learner_record(name).require()
    find_own_code(*measure or ())
    limits = budget_of(int(budget) if budget.isdecimal() else budget)
    resampling = choose_resampling(folds or (None if holdout else 3), repeats, holdout, seed or 0)
    recipes = configure_all(names, pairs("--set", settings or []), seed)
    searched = _space(space)
    require_other_file(out, data)
    with contextlib.ExitStack() as files:
        # All of them are refused now, not after the search, where they cannot be written.
        table = files.enter_context(_csv_file(trials, data))
        draw = files.enter_context(figure_file(plot, data))
        page = files.enter_context(page_file(report, data))
        with atomic_path(out) as temporary:
            read = read_task(
                data, target, format=format_, na=na, type=task or "auto", positive=positive,
                kinds=pairs("--kind", kind or [], last=True), levels=read_levels(levels), group=group, stratum=stratum,
                weight=weight, order=order, id=id_, ignore=ignore or (),
                images=image_rules(images),
            )  # fmt: skip
            one = recipes if len(recipes) > 1 else next(iter(recipes.values()))
            with told_what_is_kept(None if store is None else Path(store)):
                found = search(
                    read, one, searched, resampling, measure or None, limits,
                    sampler=sampler, pruner=pruner, seed=seed or 0, store=store, n_jobs=jobs, time_limit=time_limit,  # type: ignore[arg-type]
                )  # fmt: skip
            left = write_params(temporary, found.learner(), found.headline())
        # What was found is kept by now, whatever becomes of the rest.
        table(found)
        draw(_History(found))
        page(found)
    _show(found)
    show(f"best: trial {found.best.number}, {params_text(found.best.params)}")
    show(f"wrote {out}")
    for written in (trials, plot, report):
        if written is not None:
            say(f"wrote {written}")
    if left:
        say(f"{', '.join(left)} cannot be told by a TOML file: give fit the same --set beside --params")
    columns = "".join(f" --target {name}" for name in target)
    show(f"next: onnxlearn fit {data}{columns} --params {out} --out model.onnx")


@dataclass(frozen=True)
class _History:
    """How a search went on."""

    found: Tuning

    def plot(self) -> Any:
        """Draw it on new axes."""
        from onnxlearn.plots import optimization_history

        return optimization_history(self.found)


@contextlib.contextmanager
def _csv_file(path: Path | None, *inputs: str | Path) -> Iterator[Callable[[Tuning], None]]:
    """A function that writes the trials, or does nothing without a path; refused now where it cannot be written."""
    from onnxlearn.files.outputs import atomic_path, require_other_file

    if path is None:
        yield write_nothing
        return
    require_other_file(path, *inputs)
    with atomic_path(path) as temporary:
        yield lambda found: found.trials.to_csv(temporary, index=False)


def _space(text: str) -> Any:
    from onnxlearn.tuning.files import read_space
    from onnxlearn.tuning.ranges import SIZES

    if text in SIZES:
        return text
    if not text.endswith(".toml"):
        raise ParameterError(f"--space is {', '.join(SIZES)} or a .toml file, not {text!r}")
    return read_space(text)


def _show(found: Tuning) -> None:
    """The best trials, and the learner as it was given."""
    from onnxlearn.tuning.result import cost, params_text

    first = found.measures[0]
    done = sorted((trial for trial in found.all if trial.state == "done"), key=lambda trial: cost(trial, first))
    shown = done[:SHOWN] + [trial for trial in done[SHOWN:] if not trial.params]
    names = [measure.name for measure in found.measures]
    rows = [
        [
            str(trial.number), *(f"{trial.scores[name]:.4g}" for name in names), str(trial.n_epochs or ""),
            " ".join(part for part in (trial.learner, params_text(trial.params)) if part),
        ]
        for trial in shown
    ]  # fmt: skip
    show_table(["trial", *names, "epochs", "parameters"], rows)
    for state in ("pruned", "failed"):
        if n := sum(trial.state == state for trial in found.all):
            show(f"{state}: {n} of {len(found.all)} trials")
