"""From arguments to an exit code: what the user sees of errors, warnings and Ctrl-C."""

from __future__ import annotations

import os
import re
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, cast

import typer

from onnxlearn.errors import InternalError, InterruptedFit, OnnxlearnError
from onnxlearn.named import own_code
from onnxlearn.remarks import told_together
from onnxlearn_cli.app import app
from onnxlearn_cli.codes import DONE, INTERRUPTED, OUR_FAULT, USERS_MISTAKE
from onnxlearn_cli.talk import complain, here, say, show_all

TRACEBACK = "--traceback"
# Seconds that a process lets the first one speak.
PATIENCE = 3.0

# typer exports only this leaf of its errors about options and arguments; their common base is its parent.
UsageError = cast(type[Exception], typer.BadParameter.__base__)


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; an error becomes one line on stderr, before it the trace if asked for."""
    # The option is taken out here so that it may stand anywhere on the line, where one types it after a failure.
    with_trace = TRACEBACK in arguments
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning
        try:
            with told_together():
                return _invoke([argument for argument in arguments if argument != TRACEBACK] or ["--help"])
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the border: nothing passes it but as a line
            _drop_unwritten()
            code, line = explain(error)
            if with_trace:
                traceback.print_exc()
            if line:
                _tell(code, f"error: {line}" if code != INTERRUPTED else line)
            return code


def _tell(code: int, line: str) -> None:
    """Show what went wrong. Several processes that train together make the same mistake, which one of a machine tells."""
    if here().local_rank > 0 and code != OUR_FAULT:
        if code == INTERRUPTED:
            return
        # Once the first one has told of it, torchrun ends this one. Where it is still there, the mistake is its own.
        time.sleep(PATIENCE)
    complain(line)


def _invoke(arguments: Sequence[str]) -> int:
    # Not the command's own main(): that one turns Ctrl-C and closed pipes into exit codes without a word.
    try:
        with app.make_context("onnxlearn", list(arguments)) as context:
            code = app.invoke(context)
    except typer.Exit as stop:
        code = stop.exit_code
    show_all()
    return code if isinstance(code, int) else DONE


def _drop_unwritten() -> None:
    """Drop what standard output holds and cannot write: the interpreter would try again at its end and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def explain(error: BaseException) -> tuple[int, str]:
    """Exit code and the one line that is shown (none for a reader that went away).

    >>> from onnxlearn.errors import DataError
    >>> explain(DataError("the table is empty"))
    (2, 'the table is empty')
    >>> explain(ZeroDivisionError("division by zero"))[1]
    'a fault of onnxlearn: ZeroDivisionError: division by zero (please report it with the output of --traceback)'
    """
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted; nothing was written"
    if isinstance(error, InterruptedFit):
        return INTERRUPTED, _one_line(str(error))
    if _reader_is_gone(error):
        return OUR_FAULT, ""
    if isinstance(error, UsageError):
        return USERS_MISTAKE, _usage(error)
    if isinstance(error, OnnxlearnError) and not isinstance(error, InternalError):
        return USERS_MISTAKE, _one_line(str(error))
    if not isinstance(error, InternalError) and (told := own_code(error)):
        return USERS_MISTAKE, _one_line(f"code of your own fails: {told} ({TRACEBACK} shows more)")
    what = str(error) if isinstance(error, InternalError) else f"{type(error).__name__}: {error}"
    return OUR_FAULT, _one_line(f"a fault of onnxlearn: {what} (please report it with the output of {TRACEBACK})")


def _reader_is_gone(error: BaseException | None) -> bool:
    """Whether the error is, or was caused by, a closed pipe (``onnxlearn predict ... | head``)."""
    while error is not None:
        if isinstance(error, BrokenPipeError):
            return True
        error = error.__cause__
    return False


def _usage(error: Any) -> str:
    command = error.ctx.command_path if error.ctx else "onnxlearn"
    return _one_line(f"{error.format_message().rstrip('.')} (see {command} --help)")


def _one_line(text: str) -> str:
    return re.sub(r"\s*[\n\t]\s*", " ", text)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    say(_one_line(f"warning: {message}"))
