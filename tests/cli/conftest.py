"""The command as a function: exit code, standard output and standard error of one call, in an empty folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from onnxlearn_cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a failed call, which leaves nothing on standard output."""
        lines = [line for line in self.err.splitlines() if line.startswith("onnxlearn: error: ")]
        assert len(lines) == 1, self.err
        assert self.err.splitlines()[-1] == lines[0]
        assert self.out == ""
        return lines[0].removeprefix("onnxlearn: error: ")


Command = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    def call(*arguments: object, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that predicts the species of penguins."""
    path = tmp_path_factory.mktemp("trained") / "penguins.onnx"
    arguments = ["fit", "example:penguins", "--target", "species", "--set", "max_epochs=3", "--test", "0.25", "--seed", "1"]
    assert main([*arguments, "--out", str(path)]) == 0
    return path


@pytest.fixture
def model(trained: Path, folder: Path) -> Path:
    """That model, beside the test's other files."""
    path = folder / "penguins.onnx"
    path.write_bytes(trained.read_bytes())
    return path
