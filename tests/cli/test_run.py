"""From arguments to exit codes: help, errors, traces, warnings, Ctrl-C."""

from __future__ import annotations

import subprocess
import sys
import types
import warnings
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from onnxlearn.errors import DataError, InterruptedFit, MissingExtraError, ParityError
from onnxlearn_cli import app, run

COMMAND = Path(sys.executable).parent / "onnxlearn"


def test_no_arguments_show_the_help(command) -> None:
    done = command()
    assert (done.code, done.err) == (0, "")
    assert done.out == command("--help").out == command("-h").out
    assert "Train neural networks on tables" in done.out


def test_version(command) -> None:
    assert command("--version").out == f"onnxlearn {version('onnxlearn')}\n"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Make the command ``doctor`` fail with an error."""

    def fail(error: BaseException) -> None:
        def raise_error() -> None:
            raise error

        # Else it would be somebody's own code that fails.
        names = {"__name__": "onnxlearn.failing"}
        ours = types.FunctionType(raise_error.__code__, names, closure=raise_error.__closure__)
        monkeypatch.setattr(app.app.commands["doctor"], "callback", ours)

    return fail


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("the table\nis empty"), 2, "onnxlearn: error: the table is empty\n"),
        (
            MissingExtraError.of("torch", "train", "training"),
            2,
            "onnxlearn: error: training needs the package torch: pip install 'onnxlearn[train]'\n",
        ),
        (typer.BadParameter("no"), 2, "onnxlearn: error: Invalid value: no (see onnxlearn doctor --help)\n"),
        (KeyboardInterrupt(), 130, "onnxlearn: interrupted; nothing was written\n"),
        (InterruptedFit("no epoch had ended"), 130, "onnxlearn: no epoch had ended\n"),
        (
            ParityError("off by 1"),
            1,
            "onnxlearn: error: a fault of onnxlearn: off by 1 (please report it with the output of --traceback)\n",
        ),
        (
            KeyError("x"),
            1,
            "onnxlearn: error: a fault of onnxlearn: KeyError: 'x' (please report it with the output of --traceback)\n",
        ),
    ],
)  # fmt: skip
def test_errors(command, failing, error: BaseException, code: int, line: str) -> None:
    failing(error)
    done = command("doctor")
    assert (done.code, done.out, done.err) == (code, "", line)


@pytest.mark.parametrize("arguments", [("--traceback", "doctor"), ("doctor", "--traceback")])
def test_a_trace_on_request(command, failing, arguments: tuple[str, ...]) -> None:
    failing(DataError("the table is empty"))
    done = command(*arguments)
    assert done.code == 2
    assert done.err.startswith("Traceback (most recent call last):")
    assert done.err.endswith("onnxlearn: error: the table is empty\n")


def test_warnings_are_lines_of_talk(command, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn() -> None:
        warnings.warn("column 'key'\nis unique", UserWarning, stacklevel=1)
        warnings.warn("not for users", DeprecationWarning, stacklevel=1)

    monkeypatch.setattr(app.app.commands["doctor"], "callback", warn)
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = command("doctor")
    assert (done.code, done.err) == (0, "onnxlearn: warning: column 'key' is unique\n")
    assert warnings.showwarning is before


def test_the_installed_command() -> None:
    done = subprocess.run([COMMAND, "fit", "nothing.csv", "--target", "y"], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("onnxlearn: error: ")
    assert done.stderr.count("\n") == 1


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "onnxlearn_cli", "fitt"], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "onnxlearn: error: No such command 'fitt'. Did you mean 'fit'? (see onnxlearn --help)\n"


def test_a_reader_that_went_away(tmp_path: Path) -> None:
    """``onnxlearn learners | head -n 0`` neither complains nor fails by a trace."""
    line = f"'{COMMAND}' learners; echo $? >'{tmp_path}/code'"
    done = subprocess.run(f"({line}) | true", shell=True, text=True, capture_output=True, check=False)
    assert done.stderr == ""
    assert (tmp_path / "code").read_text() in ("1\n", "0\n")


def test_exit_codes_are_documented(command) -> None:
    assert (run.DONE, run.USERS_MISTAKE, run.OUR_FAULT, run.INTERRUPTED) == (0, 2, 1, 130)
    text = " ".join(command("--help").out.split())
    assert "0 done, 2 a mistake in the call or the data" in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_behind_standard_output() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([COMMAND, "measures"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    line = "onnxlearn: error: cannot write to standard output: No space left on device; choose another place\n"
    assert (done.returncode, done.stderr) == (2, line)
