"""``onnxlearn fit``: a table in, one model file out."""

from __future__ import annotations

import contextlib
import os
import shlex
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxlearn.errors import InterruptedFit, ParameterError
from onnxlearn.processes import place
from onnxlearn_cli.codes import DONE, INTERRUPTED
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
    Positive,
    Stratum,
    TargetColumns,
    TaskType,
    Weight,
    figure_file,
    image_rules,
    learner_record,
    make_learner,
    pairs,
)
from onnxlearn_cli.out_of_fold import require_out_of_fold, write_out_of_fold
from onnxlearn_cli.talk import say, show, show_table

if TYPE_CHECKING:
    from onnxlearn.images.rules import ImageRules
    from onnxlearn.learner import Learner
    from onnxlearn.model import Model
    from onnxlearn.task import Task

# Of what was tried, at least the best ones are shown.
SHOWN = 5


def fit(
    data: Data,
    target: TargetColumns,
    learner: Annotated[
        str | None,
        typer.Option(
            "--learner",
            metavar="NAME",
            help="See onnxlearn learners; or package.module:name, a network of your own; mlp if not given.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Parameter: see onnxlearn learners NAME. Repeatable."),
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option("--params", metavar="FILE", help="Parameters as onnxlearn tune writes them; --set comes after them."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Model file to write.")] = Path("model.onnx"),
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", metavar="TIME|N", help="Learners that search, such as auto: a time such as 10m, or how many are tried."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of training and of the rows for --test.")
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
    test: Annotated[
        float | None, typer.Option("--test", metavar="SHARE", help="Share of the rows set aside before anything is fitted.")
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            "--validation", metavar="DATA", help="Rows to choose the epoch by, of another file; by default some of DATA."
        ),
    ] = None,
    na: Na = None,
    format_: Format = None,
    out_of_fold: Annotated[
        Path | None,
        typer.Option(
            "--out-of-fold",
            metavar="FILE",
            help="Learner bagging: also write what it predicts for unseen rows; .csv, .tsv, .jsonl, .parquet or .feather.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Also draw the learning curves: .svg, .png or .pdf (extra plot)."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="FOLDER", help="Keep the training there: the same command again goes on with it."),
    ] = None,
    keep_on_interrupt: Annotated[
        bool, typer.Option("--keep-on-interrupt", help="After Ctrl-C still write the best weights so far.")
    ] = False,
) -> int:
    """Train on a table and write one model file.

    Ends with the scores of that very file and the line to run next.
    """
    from onnxlearn.files.outputs import STDOUT, atomic_path, require_other_file

    # What can be refused without the table or torch is refused before either is loaded.
    learner, found = choose_learner(learner, params)
    learner_record(learner).require()
    if out_of_fold is not None:
        require_out_of_fold(learner, out_of_fold, data, out)
    kinds, given = pairs("--kind", kind or [], last=True), pairs("--set", settings or [])
    if budget is not None:
        given = with_budget(given, budget)
    if test is not None and not 0 < test < 1:
        raise ParameterError(f"--test is a share of the rows between 0 and 1, not {test:g}")
    if str(out) == STDOUT:
        raise ParameterError("--out has to be a file: standard output gets the scores")
    if validation is not None and "validation" in given:
        raise ParameterError(f"--validation and --set validation={given['validation']} say the same thing: give one of them")
    require_other_file(out, data, *([] if validation is None else [validation]))
    # Somebody's own network is wrong more often than a table; other learners wait, since torch takes its time.
    recipe = configure(make_learner(learner, *given.values()), given, seed, found) if ":" in learner else None
    with contextlib.ExitStack() as files:
        # Also refuses now, not after training, where nothing can be written.
        temporary = files.enter_context(atomic_path(_written(out)))
        beside = files.enter_context(atomic_path(_written(out_of_fold))) if out_of_fold is not None else None
        draw = files.enter_context(figure_file(plot if place().is_first else None, data, str(out)))
        table = read_task(
            data,
            target,
            format=format_,
            na=na,
            type=task or "auto",
            positive=positive,
            kinds=kinds,
            levels=read_levels(levels),
            group=group,
            stratum=stratum,
            weight=weight,
            order=order,
            id=id_,
            ignore=ignore or (),
            images=image_rules(images),
        )
        recipe = recipe or configure(make_learner(learner, *given.values()), given, seed, found)
        if validation is not None:
            recipe = recipe.replace(validation=read_further(validation, table, na, image_rules(images)))
        train, held_out = (table, None) if test is None else table.split(test, seed or 0)
        with kept_in(folder) as kept:
            model = recipe.fit(train, test=held_out, keep_on_interrupt=keep_on_interrupt, **kept)
        temporary.write_bytes(model.to_bytes())
        if beside is not None and out_of_fold is not None:
            write_out_of_fold(model, beside, out_of_fold)
        draw(LearningCurves(model))
    for note in model.metadata["notes"][len(train.notes) :]:  # what training had to say
        say(note)
    if place().is_first:
        report(model, data, out, out_of_fold)
    return INTERRUPTED if model.metadata["training"].get("stopped") == "interrupted" else DONE


def _written(path: Path) -> Path:
    """Where this process writes: of several that train together the first one writes files."""
    return path if place().is_first else Path(os.devnull)


@dataclass(frozen=True)
class LearningCurves:
    """The curves of a model's training."""

    model: Model

    def plot(self) -> Any:
        """Draw them on new axes."""
        from onnxlearn.plots import learning_curves

        return learning_curves(self.model)


@contextlib.contextmanager
def kept_in(folder: Path | None) -> Iterator[dict[str, Any]]:
    """The arguments of a fit that keep its training; after Ctrl-C it is said how to go on."""
    if folder is None:
        yield {}
        return
    if (folder / "training.json").exists() and place().is_first:
        say(f"the training in {folder} goes on")
    try:
        yield {"folder": folder}
    except KeyboardInterrupt:
        raise InterruptedFit(f"interrupted; the same command goes on with the training in {folder}") from None


def read_task(data: str, target: list[str], **options: Any) -> Task:
    """The task of a file; what was noticed on the way is said."""
    from onnxlearn.task import Task, TaskWarning

    with warnings.catch_warnings():
        # What it warns of stands among the notes too.
        warnings.simplefilter("ignore", TaskWarning)
        task = Task.from_file(data, target if len(target) > 1 else target[0], **options)
    for note in task.notes:
        say(note)
    return task


def read_further(data: str, task: Task, na: list[str] | None, images: ImageRules | None) -> Task:
    """The rows of another file with the columns of a task; its images lie beside it."""
    from onnxlearn.files.tables import read_whole
    from onnxlearn.images.rules import beside

    numeric = [feature.name for feature in task.schema.features if feature.kind == "numeric"]
    return type(task)(read_whole(data, na=na, numeric=numeric).frame, task.schema, images=beside(images, data))


def read_levels(texts: list[str] | None) -> dict[str, list[str] | list[int]]:
    """The levels of each column of ``--levels``."""
    return {column: _levels(text) for column, text in pairs("--levels", texts or [], last=True).items()}


def _levels(text: str) -> list[str] | list[int]:
    """The levels of a column: integers if all are, as in the column itself."""
    from onnxlearn.wire.cells import INTEGER

    parts = text.split(",")
    return [int(part) for part in parts] if all(INTEGER.fullmatch(part) for part in parts) else parts


def choose_learner(name: str | None, params: Path | None) -> tuple[str, dict[str, Any]]:
    """The name of the learner, and what a file of parameters says of it."""
    from onnxlearn.tuning.files import read_params

    if params is None:
        return name or "mlp", {}
    named, found = read_params(params)
    if name is not None and named is not None and name != named:
        raise ParameterError(
            f"--learner {name}, and {params} has parameters of {named}: leave --learner out, or give another file"
        )
    return named or name or "mlp", found


def with_budget(given: dict[str, str], budget: str) -> dict[str, str]:
    """The settings with ``--budget``. Raises: ParameterError."""
    from onnxlearn.tuning.budget import budget_of

    if "budget" in given:
        raise ParameterError(f"--budget {budget} and --set budget={given['budget']} say the same thing: give one of them")
    budget_of(budget)
    return {**given, "budget": budget}


def configure(recipe: Learner, settings: dict[str, str], seed: int | None, params: Mapping[str, Any] | None = None) -> Learner:
    """The learner with the command line's settings, each read as the type that its parameter has.

    ``params``: values that stand before them.
    """
    from onnxlearn.params import parse_text
    from onnxlearn.tuning.files import with_params

    if seed is not None and "seed" in settings:
        raise ParameterError(f"--seed {seed} and --set seed={settings['seed']} say the same thing: give one of them")
    # What brings others along is set first.
    first = {name: value for name, value in (params or {}).items() if name in {param.name for param in recipe.params}}
    later = {name: value for name, value in (params or {}).items() if name not in first and name not in settings}
    recipe = with_params(recipe, first)
    left = dict(settings)
    if "budget" in left and "time_budget" in {param.name for param in recipe.params}:
        raise ParameterError(
            f"learner {recipe.name!r} trains one network and has no budget: choose --learner auto, or --set time_budget=SECONDS"
        )
    # A parameter can bring others along, as a network or the base of bagging does: those are read by what it brings.
    while left:
        known = {param.name for param in recipe.params}
        names = [name for name in left if name in known] or list(left)
        recipe = recipe.replace(**{name: parse_text(recipe.config_types, name, left.pop(name)) for name in names})
    recipe = with_params(recipe, later)
    # A learner without randomness has no seed; the option still rules which rows are set aside.
    if seed is None or all(param.name != "seed" for param in recipe.params):
        return recipe
    return recipe.replace(seed=seed)


def show_search(training: Mapping[str, Any]) -> None:
    """What a learner that searches has tried, the best first, and what each counts in the file."""
    from onnxlearn.card import number
    from onnxlearn.measures import all_measures

    weights: dict[str, float] = {}
    for member in training["members"]:
        weights[member["title"]] = weights.get(member["title"], 0.0) + member["weight"]
    measure = training["measure"]
    best_first = next((-1.0 for each in all_measures() if each.name == measure and not each.minimize), 1.0)
    whole = sorted((each for each in training["tried"] if "score" in each), key=lambda each: best_first * each["score"])
    rows = [
        [each["title"], number(each["score"]), f"{weights[each['title']]:.0%}" if each["title"] in weights else ""]
        for each in whole[:SHOWN] + [each for each in whole[SHOWN:] if each["title"] in weights]
    ]
    show_table(["tried", f"{measure} out of fold", "in the file"], rows)
    states = Counter(each["state"] for each in training["tried"])
    told = f"{states['whole']} on all folds, {states['stopped']} stopped early, {states['failed']} failed"
    show(f"{states.total()} tried: {told}")


def report(model: Model, data: str, out: Path, out_of_fold: Path | None = None) -> None:
    """The short table of scores, what calibration chose, what was written and what to run next."""
    from onnxlearn.card import SCORE_HEADS, calibration_lines, megabytes, number
    from onnxlearn.files.tables import STDIN

    scores = {head: model.scores[name] for name, head in SCORE_HEADS.items() if model.scores.get(name)}
    if scores:
        measures = next(iter(scores.values()))
        rows = [[measure, *(number(values[measure]) for values in scores.values())] for measure in measures]
        show_table(["measure", *scores], rows)
    if "tried" in model.metadata["training"]:
        show_search(model.metadata["training"])
    for line in calibration_lines(model.inspect()):
        show(f"calibrated: {line}")
    show(f"wrote {out} ({megabytes(out.stat().st_size)})")
    if out_of_fold is not None and model.out_of_fold is not None:
        show(f"wrote {out_of_fold} ({len(model.out_of_fold)} rows out of fold)")
    table = "NEW.csv" if data == STDIN else shlex.quote(data)
    show(f"next: onnxlearn predict {shlex.quote(str(out))} {table} --out predictions.csv")
