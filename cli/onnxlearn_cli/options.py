"""Options and arguments that several commands share, each declared once."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias

import typer

from onnxlearn.errors import ParameterError, UnknownNameError

if TYPE_CHECKING:
    from onnxlearn.images.rules import ImageRules
    from onnxlearn.learner import Learner
    from onnxlearn.registry import LearnerInfo

Data: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="Table: .csv, .tsv, .jsonl, .parquet, .feather or .arrow (text also .gz), - for standard input, or "
        "example:NAME (see onnxlearn examples).",
    ),
]
ModelFile: TypeAlias = Annotated[Path, typer.Argument(metavar="MODEL", help="Model file that fit wrote.")]
Format: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="FORMAT", help="csv, tsv, jsonl, parquet, feather: for - or where the suffix does not say."
    ),
]
Provider: TypeAlias = Annotated[
    Literal["auto", "cpu", "cuda", "tensorrt"],
    typer.Option(
        "--provider", help="Where the model runs; cuda and tensorrt are errors where it cannot, auto takes cuda or cpu."
    ),
]


TargetColumns: TypeAlias = Annotated[
    list[str], typer.Option("--target", metavar="COL", help="Column to predict; several for several numbers.")
]
TaskType: TypeAlias = Annotated[
    Literal["classification", "regression"] | None,
    typer.Option("--task", help="Instead of telling it from the target's values."),
]
Positive: TypeAlias = Annotated[
    str | None, typer.Option("--positive", metavar="CLASS", help="Positive one of two classes, instead of the second.")
]
Kinds: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="COL=KIND",
        help="numeric, categorical, ordered, boolean, datetime, text or image, whatever the values suggest. Repeatable.",
    ),
]
Levels: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--levels", metavar="COL=A,B,C", help="Levels of an ordered column, lowest first. Repeatable."),
]
Group: TypeAlias = Annotated[str | None, typer.Option("--group", metavar="COL", help="Splits keep rows of one group together.")]
Stratum: TypeAlias = Annotated[
    list[str] | None, typer.Option("--stratum", metavar="COL", help="Keep its shares when rows are split. Repeatable.")
]
Weight: TypeAlias = Annotated[str | None, typer.Option("--weight", metavar="COL", help="Weights of the rows.")]
Order: TypeAlias = Annotated[str | None, typer.Option("--order", metavar="COL", help="Splits set the latest rows aside.")]
Id: TypeAlias = Annotated[
    list[str] | None, typer.Option("--id", metavar="COL", help="Names the rows; not a feature. Repeatable.")
]
Ignore: TypeAlias = Annotated[list[str] | None, typer.Option("--ignore", metavar="COL", help="Not a feature. Repeatable.")]
Na: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--na", metavar="TEXT", help="Cell that means missing, instead of the usual spellings. Repeatable."),
]


Images: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--images",
        metavar="KEY=VALUE",
        help="How images are read: folder, policy (error, skip or missing), channels, max_pixels, animated. Repeatable.",
    ),
]


Measures: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--measure",
        metavar="NAME",
        help="See onnxlearn measures, or package.module:name. Repeatable; a default set if not given.",
    ),
]


Plot: TypeAlias = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Also draw it: .svg, .png or .pdf (extra plot).")
]


class Plotted(Protocol):
    """A result that can be drawn."""

    def plot(self) -> Any:
        """Draw it on new axes."""


@contextlib.contextmanager
def figure_file(path: Path | None, *inputs: str | Path) -> Iterator[Callable[[Plotted], None]]:
    """A function that draws a result into the file of --plot, or does nothing without; refused now where it cannot be."""
    from onnxlearn.files.outputs import atomic_path, require_other_file
    from onnxlearn.plots.canvas import require_matplotlib
    from onnxlearn.plots.files import figure_suffix, save_figure

    if path is None:
        yield _draw_nothing
        return
    suffix = figure_suffix(path)
    require_other_file(path, *inputs)
    require_matplotlib()
    with atomic_path(path) as temporary:
        yield lambda result: save_figure(result.plot(), temporary, suffix)


def _draw_nothing(result: Plotted) -> None:
    """No plot was asked for."""
    del result


def pairs(option: str, texts: list[str], *, last: bool = False) -> dict[str, str]:
    """``KEY=VALUE`` texts as a dictionary, split at the first ``=`` or the ``last``.

    >>> pairs("--set", ["lr=0.1"]), pairs("--kind", ["a=b=categorical"], last=True)
    ({'lr': '0.1'}, {'a=b': 'categorical'})
    """
    found: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.rpartition("=") if last else text.partition("=")
        if not sign or not key:
            raise ParameterError(f"{option} takes NAME=VALUE, not {text!r}")
        if key in found:
            raise ParameterError(f"{option} names {key!r} twice: {found[key]!r} and {value!r}")
        found[key] = value
    return found


def image_rules(texts: list[str] | None) -> ImageRules | None:
    """What ``--images`` says."""
    from onnxlearn.images.rules import rules_of

    return rules_of(pairs("--images", texts)) if texts else None


def learner_record(name: str) -> LearnerInfo:
    """What is known of a learner by its name, or of that for networks of one's own by ``package.module:name``."""
    from onnxlearn.registry import learner_info

    try:
        return learner_info("module" if ":" in name else name)
    except UnknownNameError as error:
        own = _own_networks(name)
        if not own:
            raise
        raise UnknownNameError(f"there is no learner {name!r}; a network of your own is called {own}") from error


def _own_networks(name: str) -> str:
    """What ``nets``, ``nets.py`` or ``nets.Net`` may mean where the working directory has a ``nets.py``, else nothing."""
    module, _, known = name.removesuffix(".py").partition(".")
    file = Path(f"{module}.py")
    if not module or not file.is_file():
        return ""
    # The code is not run: a learner's name has been mistyped, perhaps.
    found = re.findall(r"^class +([^\W\d]\w*)", file.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return " or ".join(f"{module}:{item}" for item in ([known] if known else found or ["NAME"]))


def make_learner(name: str, *settings: str) -> Learner:
    """The learner with its defaults.

    Where it or one of the settings names something to import, modules of the working directory are found, as by
    ``python -m``.
    """
    from onnxlearn.registry import learner

    find_own_code(name, *settings)
    return learner(name)


def find_own_code(*texts: str, folder: Path | None = None) -> None:
    """Where one of these is called ``package.module:name``, let modules of a folder be found, by default the working one."""
    place = str((folder or Path()).resolve())
    if any(":" in text for text in texts) and place not in sys.path:
        sys.path.insert(0, place)
