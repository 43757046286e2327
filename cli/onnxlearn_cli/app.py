"""The commands, in the order in which one meets them."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from onnxlearn.errors import ParameterError
from onnxlearn.processes import place, require_alone
from onnxlearn_cli.bench import bench
from onnxlearn_cli.benchmark import benchmark
from onnxlearn_cli.export import export
from onnxlearn_cli.fit import fit
from onnxlearn_cli.lr_find import lr_find
from onnxlearn_cli.predict import evaluate, predict
from onnxlearn_cli.report import report
from onnxlearn_cli.resample import resample
from onnxlearn_cli.serve import serve
from onnxlearn_cli.show import doctor, examples, inspect, learners, measures, targets
from onnxlearn_cli.tune import tune
from onnxlearn_cli.understand import dependence, importance
from onnxlearn_cli.verify import verify

# Plain help without markup: it reads the same in a pipe, in a narrow window and in the generated README, and needs no rich.
_typer = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


class Command(TyperCommand):
    """A command that takes each option once, unless the option says that it may be repeated.

    The parser of itself keeps the last of several values and drops the others without a word.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raise ``ParameterError`` for an option of one value that is given twice, and for what several processes cannot do."""
        if place().n_processes > 1 and self.name != "fit":
            require_alone(f"onnxlearn {self.name}", "start it without torchrun, which is for onnxlearn fit")
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(given).items():
            if times > 1 and not parameter.multiple and not getattr(parameter, "is_flag", False):
                raise ParameterError(f"{parameter.opts[0]} takes one value and is given {times} times; say it once")
        return super().parse_args(ctx, args)


def _show_version(*, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"onnxlearn {version('onnxlearn')}")
        raise typer.Exit


@_typer.callback()
def _onnxlearn(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=lambda asked: _show_version(asked=asked)),
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the whole trace of an error. May stand anywhere on the line.")
    ] = False,
) -> None:
    """Train neural networks on tables; get one .onnx file with raw columns in and predictions out.

    Exit codes: 0 done, 2 a mistake in the call or the data (one line on stderr), 1 a fault of onnxlearn, 130 after Ctrl-C.
    """


_COMMANDS = (
    fit, lr_find, tune, resample, benchmark, report, predict, evaluate, importance, dependence, bench, export, serve, verify,
    inspect, learners, measures, targets, examples, doctor,
)  # fmt: skip
for _command in _COMMANDS:
    _typer.command(cls=Command)(_command)

app = typer.main.get_command(_typer)
