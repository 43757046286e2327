"""``onnxlearn benchmark``: what a design file says."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onnxlearn.errors import DesignError, ParameterError
from onnxlearn_cli.options import find_own_code
from onnxlearn_cli.summary import Jobs, ScoresFile, scores_file, summarise, told_what_is_kept, write_scores
from onnxlearn_cli.talk import say, show, show_table

if TYPE_CHECKING:
    from onnxlearn.experiments.design import Cell, Design

_OWN_CODE = re.compile(r"""["'](?!example:)([\w.]+:[\w.]+)["']""")


def benchmark(
    design: Annotated[Path, typer.Argument(metavar="DESIGN", help="TOML file: see the guide, A benchmark from a file.")],
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="FOLDER", help="Keep results there; the same call goes on where it stopped. Else the design's."
        ),
    ] = None,
    jobs: Jobs = 1,
    out: ScoresFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only read the design and its tables, and show what would run.")
    ] = False,
) -> None:
    """Score learners on tasks as a design file says.

    Every score is computed by running the exported file of its fold on the fold's test rows.
    """
    from onnxlearn.experiments.benchmark import benchmark as run

    if dry_run:
        if out is not None:
            raise ParameterError("--dry-run runs nothing, and --out has nothing to write: give one of the two")
        show_design(read_design_file(design))
        return
    with scores_file(out, design) as temporary:
        read = read_design_file(design)
        with told_what_is_kept(store or read.options.get("store")):
            result = run(read, store=store, n_jobs=jobs)
        write_scores(result, temporary, out)
    summarise(result, out)


def read_design_file(path: Path) -> Design:
    """The design; its mistakes are said, a line each, and what was noticed in the tables."""
    from onnxlearn.experiments.design_file import read_design
    from onnxlearn.task import TaskWarning

    if path.is_file():
        # Paths are those from the file's folder, and so is code.
        find_own_code(*_OWN_CODE.findall(path.read_text(encoding="utf-8", errors="replace")), folder=path.parent)
    try:
        with warnings.catch_warnings():
            # What it warns of stands among the notes too.
            warnings.simplefilter("ignore", TaskWarning)
            design = read_design(path)
    except DesignError as error:
        if len(error.mistakes) == 1:
            raise
        for mistake in error.mistakes:
            say(mistake)
        raise ParameterError(f"{path} has {len(error.mistakes)} mistakes: mend them; nothing was run") from error
    for task in {cell.task_name: cell.task for cell in design.cells}.values():
        for note in task.notes:
            say(f"{task.name}: {note}")
    return design


def show_design(design: Design) -> None:
    """What would run: tasks, learners, and which of them on which splits."""
    tasks = {cell.task_name: cell.task for cell in design.cells}
    learners = {cell.learner_name: cell.learner for cell in design.cells}
    rows = [
        [name, str(task.n_rows), str(len(task.schema.features)), task.schema.target.type, ", ".join(task.schema.target.names)]
        for name, task in tasks.items()
    ]
    show_table(["task", "rows", "features", "type", "target"], rows)
    show("")
    show_table(["learner", "recipe"], [[name, repr(learner)] for name, learner in learners.items()])
    show("")
    cells: dict[tuple[str, str], list[Cell]] = {}
    for cell in design.cells:
        cells.setdefault((cell.task_name, cell.resampling_name), []).append(cell)
    names = {key: [cell.learner_name for cell in some] for key, some in cells.items()}
    rows = [
        [*key, str(some[0].n_fits), "all" if len(some) == len(learners) else ", ".join(names[key])]
        for key, some in cells.items()
    ]
    show_table(["task", "resampling", "fits of each", "learners"], rows)
    show("")
    show(f"{design.n_fits} fits; nothing was run")
