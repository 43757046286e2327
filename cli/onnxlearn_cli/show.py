"""``onnxlearn inspect``, ``learners``, ``measures``, ``examples`` and ``doctor``: what there is."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onnxlearn_cli.options import ModelFile, find_own_code, learner_record, make_learner
from onnxlearn_cli.talk import say, show, show_table, table_lines

if TYPE_CHECKING:
    from onnxlearn.measures import Measure
    from onnxlearn.params import Param
    from onnxlearn.registry import LearnerInfo

WIDTH = 100
AsJson = Annotated[bool, typer.Option("--json", help="As one JSON document.")]


def inspect(model: ModelFile, as_json: AsJson = False) -> None:
    """Show what a model predicts, and how well.

    Also from which columns, and how it was trained.
    """
    from onnxlearn.card import card_lines
    from onnxlearn.model import load

    card = load(model, provider="cpu").inspect()
    show(json.dumps(card, ensure_ascii=False, indent=2) if as_json else "\n".join(card_lines(card)))


def learners(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Show the parameters of this learner, or of the network package.module:name."),
    ] = None,
) -> None:
    """List the learners, or show one and its parameters."""
    from onnxlearn.registry import broken_learners, learner_infos

    if name is None:
        rows = [[info.name, info.summary, info.use] for info in learner_infos().values()]
        show_table(["learner", "what it is", "when to use it"], rows)
        for problem in broken_learners().values():
            say(problem)
        return
    info = learner_record(name)
    info.require()
    for head, text in _record_lines(info):
        show(textwrap.fill(text or "-", WIDTH, initial_indent=f"{head:<8}", subsequent_indent=" " * 8))
    show("")
    for param in make_learner(name).params:
        _show_param(param)
        for choice, names in param.brings.items():
            text = f"with {param.name}={choice}: {', '.join(names)}"
            show(textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="        "))


def targets(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show the options of this target.")] = None,
) -> None:
    """List what a model can be exported to, or show one target and its options."""
    from onnxlearn.export import TARGETS, target_class
    from onnxlearn.params import list_params

    if name is None:
        found = {target: target_class(target) for target in TARGETS}
        show_table(
            ["target", "what it is", "written as"],
            [[target, cls.meaning, "folder" if cls.is_folder else "file"] for target, cls in found.items()],
        )
        return
    show(target_class(name).meaning)
    show("")
    for param in list_params([target_class(name)]):
        _show_param(param)


def _show_param(param: Param) -> None:
    show(f"{param.name} = {_text(param.default)}")
    kind = " ".join((param.type, param.range)).strip()
    show(textwrap.indent(textwrap.fill(f"{param.meaning} ({kind})", WIDTH), "    "))
    if param.context:
        show(textwrap.indent(textwrap.fill(param.context, WIDTH), "    "))


def _record_lines(info: LearnerInfo) -> list[tuple[str, str]]:
    """What is known of a learner, one line each."""
    return [
        ("what", info.summary), ("when", info.use), ("tasks", ", ".join(info.tasks)), ("columns", ", ".join(info.kinds)),
        ("source", info.source),
    ]  # fmt: skip


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(_text, value))
    return f"{value.__module__}:{value.__qualname__}" if hasattr(value, "__qualname__") else str(value)


def measures(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Show this measure, also one with another number, as fbeta_3, or package.module:name."
        ),
    ] = None,
) -> None:
    """List the measures, or show one.

    Those at the end take any number in place of theirs. Folds: whether values are averaged over folds (macro), or computed
    from all their rows together (micro).
    """
    from onnxlearn.measures import EXAMPLES, all_measures, get

    if name is None:
        chosen = [*all_measures(), *map(get, EXAMPLES)]
        rows = [[m.name, m.task, m.better, m.range, m.needs, m.average] for m in chosen]
        lines = table_lines(["measure", "tasks", "better", "range", "needs", "folds"], rows)
        show(next(lines))
        for measure, line in zip(chosen, lines, strict=True):
            show(line)
            show(textwrap.fill(measure.summary, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4))
        return
    find_own_code(name)
    for head, text in _measure_lines(get(name)):
        show(textwrap.fill(text, WIDTH, initial_indent=f"{head:<10}", subsequent_indent=" " * 10))


def _measure_lines(measure: Measure) -> list[tuple[str, str]]:
    """What is known of a measure, one line each."""
    return [
        ("what", measure.summary), ("tasks", measure.task + (", two classes" if measure.two_classes else "")),
        ("better", measure.better), ("range", measure.range), ("needs", measure.needs),
        ("weights", "count" if measure.weighted else "do not matter"), ("folds", measure.average),
        ("undefined", f"where {measure.undefined}" if measure.undefined else "never"),
    ]  # fmt: skip


def examples() -> None:
    """List the example tables.

    DATA may be example:NAME wherever a table is read.
    """
    from onnxlearn.examples.records import example_infos

    rows = [
        [info.name, info.type, str(info.n_rows), str(info.n_features), ", ".join(info.target), info.summary]
        for info in example_infos().values()
    ]
    show_table(["example", "task", "rows", "features", "target", "what it is"], rows)


def doctor() -> None:
    """Show what is installed and what works.

    Versions, the providers that really run a model, and what is missing for what.
    """
    from onnxlearn.doctor import diagnose, report_lines

    show("\n".join(report_lines(diagnose())))
