"""``onnxlearn resample``: learners on the same splits of a table, each score by the exported file of its fold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxlearn.errors import ParameterError, did_you_mean
from onnxlearn_cli.fit import configure, read_levels, read_task
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
    find_own_code,
    image_rules,
    learner_record,
    make_learner,
    pairs,
)
from onnxlearn_cli.summary import Jobs, ScoresFile, scores_file, summarise, told_what_is_kept, write_scores

if TYPE_CHECKING:
    from onnxlearn.learner import Learner
    from onnxlearn.resampling import Resampling


def resample(
    data: Data,
    target: TargetColumns,
    learner: Annotated[
        list[str] | None,
        typer.Option("--learner", metavar="NAME", help="See onnxlearn learners. Repeatable; mlp if not given."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Parameter of every learner that has it, or as LEARNER.KEY=VALUE of one. Repeatable.",
        ),
    ] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", metavar="N", help="Folds of the cross-validation; 5 if not given.", min=2)
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", help="Times that it is repeated.", min=1)] = 1,
    holdout: Annotated[
        float | None, typer.Option("--holdout", metavar="SHARE", help="Instead: one split, with this share to test on.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of training and of the splits.")] = None,
    measure: Measures = None,
    jobs: Jobs = 1,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", metavar="SECONDS", help="Longest fit; a longer one is a failed one.")
    ] = None,
    fallback: Annotated[
        str | None, typer.Option("--fallback", metavar="NAME", help="Learner that predicts where another one failed.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option("--store", metavar="FOLDER", help="Keep results there; the same call goes on where it stopped."),
    ] = None,
    out: ScoresFile = None,
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
    """Score learners on the same splits of a table.

    Every score is computed by running the exported file of its fold on the fold's test rows.
    """
    from onnxlearn.experiments.benchmark import benchmark

    names = learner or ["mlp"]
    for name in (*names, *([fallback] if fallback else [])):
        learner_record(name).require()
    find_own_code(*measure or ())
    resampling = choose_resampling(folds, repeats, holdout, seed or 0)
    recipes = configure_all(names, pairs("--set", settings or []), seed)
    with scores_file(out, data) as temporary:
        table = read_task(
            data, target, format=format_, na=na, type=task or "auto", positive=positive,
            kinds=pairs("--kind", kind or [], last=True), levels=read_levels(levels), group=group, stratum=stratum,
            weight=weight, order=order, id=id_, ignore=ignore or (),
            images=image_rules(images),
        )  # fmt: skip
        with told_what_is_kept(store):
            result = benchmark(
                table, recipes, resampling, measure or (),
                store=store, n_jobs=jobs, time_limit=time_limit, fallback=make_learner(fallback) if fallback else None,
            )  # fmt: skip
        write_scores(result, temporary, out)
    summarise(result, out)


def choose_resampling(folds: int | None, repeats: int, holdout: float | None, seed: int) -> Resampling:
    """Cross-validation, or a single split."""
    from onnxlearn.resampling import CV, Holdout

    if holdout is None:
        return CV(folds or 5, repeats=repeats, seed=seed)
    if not 0 < holdout < 1:
        raise ParameterError(f"--holdout is a share of the rows between 0 and 1, not {holdout:g}")
    for option, several in (("--repeats", repeats > 1 and repeats), ("--folds", folds)):
        if several:
            raise ParameterError(f"--holdout is one split, and {option} {several} says several: give one of the two")
    return Holdout(1 - holdout, seed=seed)


def configure_all(names: list[str], settings: dict[str, str], seed: int | None) -> dict[str, Learner]:
    """The learners with what was set for all of them or for each. Raises: ParameterError for what none has."""
    own: dict[str, dict[str, str]] = {name: {} for name in names}
    if len(own) < len(names):
        raise ParameterError("--learner names one twice: give each once, and other settings of it in Python or a design file")
    known = {name: _parameters(name, settings) for name in names}
    for key, value in settings.items():
        name, dot, parameter = key.rpartition(".")
        takers = [name] if dot else [each for each in names if parameter in known[each]]
        if dot and name not in own:
            raise ParameterError(f"--set {key}={value}: {name!r} is none of the learners {', '.join(names)}")
        if not takers:
            raise ParameterError(
                f"--set {key}={value}: none of the learners {', '.join(names)} has a parameter {key!r}."
                f"{did_you_mean(key, [parameter for each in known.values() for parameter in each])}"
            )
        for taker in takers:
            own[taker][parameter] = value
    return {name: configure(make_learner(name, *given.values()), given, seed) for name, given in own.items()}


def _parameters(name: str, settings: dict[str, str]) -> list[str]:
    """The parameters of a learner, those included that other settings bring."""
    recipe = make_learner(name, *settings.values())
    own = {key.removeprefix(f"{name}."): value for key, value in settings.items()}
    plain = {key: value for key, value in own.items() if key in (param.name for param in recipe.params)}
    return [param.name for param in configure(recipe, plain, None).params]
