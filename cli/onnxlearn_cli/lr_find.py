"""``onnxlearn lr-find``: the range of learning rates for a learner and a table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from onnxlearn.errors import ParameterError
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
    Na,
    Order,
    Plot,
    Positive,
    Stratum,
    TargetColumns,
    TaskType,
    Weight,
    image_rules,
    learner_record,
    make_learner,
    pairs,
)
from onnxlearn_cli.talk import say, show
from onnxlearn_cli.understand import Out, outputs


def lr_find(
    data: Data,
    target: TargetColumns,
    learner: Annotated[
        str, typer.Option("--learner", metavar="NAME", help="See onnxlearn learners; or package.module:name.")
    ] = "mlp",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Parameter: see onnxlearn learners NAME. Repeatable."),
    ] = None,
    low: Annotated[float, typer.Option("--low", metavar="RATE", help="Lowest learning rate.")] = 1e-6,
    high: Annotated[float, typer.Option("--high", metavar="RATE", help="Highest learning rate.")] = 1.0,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Learning rates, and so steps.")] = 100,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of training.")] = None,
    out: Out = None,
    plot: Plot = None,
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
    """Look for a learning rate: train on batches of a table while the rate rises from step to step.

    Ends with a suggestion; nothing is kept of that training.
    """
    from onnxlearn import lr_range

    learner_record(learner).require()
    given = pairs("--set", settings or [])
    if "lr" in given:
        raise ParameterError("--set lr: the rates are those from --low to --high; leave lr out")
    with outputs(out, plot, data) as (write, draw):
        table = read_task(
            data, target, format=format_, na=na, type=task or "auto", positive=positive,
            kinds=pairs("--kind", kind or [], last=True), levels=read_levels(levels), group=group, stratum=stratum,
            weight=weight, order=order, id=id_, ignore=ignore or (),
            images=image_rules(images),
        )  # fmt: skip
        recipe = configure(make_learner(learner, *given.values()), given, seed)
        found = lr_range.lr_find(table, recipe, low=low, high=high, n_steps=steps)
        write(found.to_frame())
        draw(found)
    if len(found.lrs) < steps:
        say(f"the loss exploded above lr {found.lrs[-1]:.2g}: higher rates were left out")
    if found.suggestion is None:
        show("no suggestion: the loss does not fall; try a wider range by --low and --high, or more --steps")
        return
    show(f"suggested lr: {found.suggestion:g}")
    show(f"the loss falls fastest at {found.steepest:.2g} and is lowest at {found.lowest:.2g}")
    same = {
        "--target": target, "--learner": None if learner == "mlp" else learner, "--seed": seed, "--task": task,
        "--positive": positive, "--kind": kind, "--levels": levels, "--group": group, "--stratum": stratum, "--weight": weight,
        "--order": order, "--id": id_, "--ignore": ignore, "--na": na, "--format": format_,
        "--set": [*(settings or []), f"lr={found.suggestion:g}"],
    }  # fmt: skip
    say(f"next: {command_line('fit', data, same)}")


def command_line(command: str, data: str, options: Mapping[str, Any]) -> str:
    """A command to be pasted; an option may be absent, have a value or several.

    >>> command_line("fit", "my table.csv", {"--target": ["y"], "--seed": None, "--set": ["lr=0.1", "dropout=0"]})
    "onnxlearn fit 'my table.csv' --target y --set lr=0.1 --set dropout=0"
    """
    given = {name: value if isinstance(value, list) else [value] for name, value in options.items() if value is not None}
    parts = [part for name, values in given.items() for value in values for part in (name, str(value))]
    return shlex.join(["onnxlearn", command, data, *parts])
