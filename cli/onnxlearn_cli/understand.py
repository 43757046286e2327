"""``onnxlearn importance`` and ``onnxlearn dependence``: what a model makes of its columns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from onnxlearn.errors import ParameterError
from onnxlearn_cli.options import Data, Format, Images, ModelFile, Plot, figure_file, find_own_code, image_rules, pairs
from onnxlearn_cli.talk import say, show_table

if TYPE_CHECKING:
    import pandas as pd

    from onnxlearn_cli.options import Plotted

Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Also write the table: .csv, .tsv, .jsonl, .parquet or .feather.")
]


@contextlib.contextmanager
def outputs(
    out: Path | None, plot: Path | None, *inputs: str | Path
) -> Iterator[tuple[Callable[[pd.DataFrame], None], Callable[[Plotted], None]]]:
    """Functions that write the table and draw the plot where they were asked for; refused now where they cannot be."""
    from onnxlearn.files.outputs import STDOUT, atomic_path, require_other_file
    from onnxlearn.files.writers import writable_suffix, write_table

    if out is not None:
        if str(out) == STDOUT:
            raise ParameterError("--out has to be a file: standard output gets the table for people")
        suffix = writable_suffix(out)
        require_other_file(out, *inputs)
    with contextlib.ExitStack() as files:
        temporary = files.enter_context(atomic_path(out)) if out is not None else None
        draw = files.enter_context(figure_file(plot, *inputs))

        def write(frame: pd.DataFrame) -> None:
            if temporary is not None:
                # A missing cell beside text is None to every format.
                columns = {name: _with_none(frame[name]).to_numpy() for name in frame.columns}
                write_table(temporary, columns, suffix=suffix)

        yield write, draw
    for path in (out, plot):
        if path is not None:
            say(f"wrote {path}")


def _with_none(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), None) if column.dtype.kind == "O" else column


def importance(
    model: ModelFile,
    data: Data,
    measure: Annotated[
        str | None,
        typer.Option("--measure", metavar="NAME", help="See onnxlearn measures; logloss or rmse if not given."),
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", metavar="N", min=1, help="Shuffles of each column.")] = 10,
    together: Annotated[
        list[str] | None,
        typer.Option("--together", metavar="NAME=A,B", help="Columns to shuffle together, and what to call them. Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the shuffles.")] = 0,
    images: Images = None,
    out: Out = None,
    plot: Plot = None,
    format_: Format = None,
) -> None:
    """Rank the columns by what shuffling them costs.

    How much worse the model scores on a table with the target when the values of a column are shuffled among the rows: mean,
    standard deviation and standard error over the repeats.
    """
    from onnxlearn.card import number
    from onnxlearn.inspection.importance import importance as shuffle
    from onnxlearn.model import load

    find_own_code(*([measure] if measure else []))
    groups = {name: columns.split(",") for name, columns in pairs("--together", together or []).items()}
    with outputs(out, plot, model, data) as (write, draw):
        found = shuffle(
            load(model), data, measure=measure, repeats=repeats, groups=groups, seed=seed, format=format_,
            images=image_rules(images),
        )  # fmt: skip
        write(found.to_frame())
        draw(found)
    say(found.headline())
    rows = [[row["column"], *(number(row[name]) for name in ("importance", "sd", "se"))] for row in found.rows()]
    show_table(["column", "importance", "sd", "se"], rows)


def dependence(
    model: ModelFile,
    data: Data,
    column: Annotated[list[str], typer.Option("--column", metavar="COL", help="Column to vary; two for a surface.")],
    of: Annotated[
        list[str] | None,
        typer.Option(
            "--of", metavar="NAME", help="Class or target column to look at. Repeatable; all, of two classes the positive one."
        ),
    ] = None,
    curves: Annotated[bool, typer.Option("--curves", help="Also draw single rows in the plot of one column.")] = False,
    points: Annotated[int, typer.Option("--points", metavar="N", min=2, help="Values of a column of numbers or dates.")] = 20,
    images: Images = None,
    out: Out = None,
    plot: Plot = None,
    format_: Format = None,
) -> None:
    """Show what a model predicts as a column takes other values.

    The mean prediction over the rows of a table when all of them have the same value in the column, for quantiles of its
    numbers or dates or for each of its levels.
    """
    from onnxlearn.card import number
    from onnxlearn.inspection.dependence import partial_dependence
    from onnxlearn.model import load

    if curves and plot is None:
        raise ParameterError("--curves are drawn: say where with --plot FILE, or leave it out")
    with outputs(out, plot, model, data) as (write, draw):
        opened = load(model)
        kind: Literal["both", "average"] = "both" if curves else "average"
        rules = image_rules(images)
        found = partial_dependence(opened, data, column, kind=kind, of=of, n_points=points, format=format_, images=rules)
        frame = found.to_frame()
        write(frame)
        draw(found)
    values = frame.iloc[:, len(column) :].itertuples(index=False, name=None)
    rows = [
        [*("missing" if cell is None else str(cell) for cell in point), *map(number, row)]
        for point, row in zip(found.points(), values, strict=True)
    ]
    show_table([str(name) for name in frame.columns], rows)
