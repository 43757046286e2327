"""Ctrl-C in a real process on a real terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import onnxlearn as ol

pty = pytest.importorskip("pty", reason="terminals of this kind are a thing of Unix")

ENDLESS = ["--set", "max_epochs=1000000", "--set", "patience=1000000"]


def interrupted_fit(folder: Path, *arguments: str) -> tuple[int, str]:
    """Start a fit on a terminal, interrupt it once the bar shows a loss; exit code and what the terminal showed."""
    terminal, ours = pty.openpty()
    line = [sys.executable, "-m", "onnxlearn_cli", "fit", "example:penguins", "--target", "species", *ENDLESS, *arguments]
    # Shells start what runs in the background deaf to Ctrl-C.
    hear = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(line, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=ours)
    signal.signal(signal.SIGINT, hear)
    os.close(ours)
    shown = b""
    deadline = time.monotonic() + 60
    while b"loss" not in shown and time.monotonic() < deadline:
        shown += os.read(terminal, 1024)
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=60)
    finally:
        process.kill()  # endless otherwise
    while True:
        try:
            more = os.read(terminal, 1024)
        except OSError:  # Linux: the other end is closed
            break
        if not more:
            break
        shown += more
    os.close(terminal)
    return process.returncode, shown.decode()


def test_nothing_is_written(tmp_path: Path) -> None:
    code, shown = interrupted_fit(tmp_path)
    assert code == 130
    assert shown.splitlines()[-1].endswith("onnxlearn: interrupted; nothing was written")
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def test_the_best_weights_are_kept_on_request(tmp_path: Path) -> None:
    code, shown = interrupted_fit(tmp_path, "--keep-on-interrupt")
    assert code == 130
    assert "Traceback" not in shown
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    model = ol.load(tmp_path / "model.onnx")
    assert model.metadata["training"]["stopped"] == "interrupted"
    assert "onnxlearn: training was interrupted in epoch" in shown
    assert len(model.history) == model.metadata["training"]["epochs"] >= 1
    assert len(model.predict("example:penguins").response) == 344


def test_a_folder_of_predictions_goes_on(trained: Path, tmp_path: Path) -> None:
    """Every file that is there after Ctrl-C or a kill is whole, and the same command makes the others."""
    rows = Path(ol.__file__).with_name("data").joinpath("penguins.csv").read_text(encoding="utf-8")
    head, _, lines = rows.partition("\n")
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "0.csv").write_text(f"{head}\n{lines * 20}", encoding="utf-8")
    for i in range(1, 20):
        (source / f"{i}.csv").hardlink_to(source / "0.csv")
    command = [sys.executable, "-m", "onnxlearn_cli", "predict", str(trained), str(source), "--out", str(out)]

    def stopped(by: signal.Signals, after: int) -> tuple[int, str]:
        hear = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        signal.signal(signal.SIGINT, hear)
        deadline = time.monotonic() + 60
        while len(list(out.glob("*.csv"))) < after and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(by)
        return process.wait(timeout=60), process.communicate()[1]

    code, told = stopped(signal.SIGINT, 2)
    assert code == 130
    said = f"onnxlearn: interrupted; what is in {str(out)!r} is whole: the same command goes on from there"
    assert told.splitlines()[-1] == said
    made = len(list(out.glob("*.csv")))
    assert stopped(signal.SIGKILL, made + 2)[0] == -signal.SIGKILL
    assert made + 2 <= len(list(out.glob("*.csv"))) < 20
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "were there already" in done.stderr
    assert len(list(out.iterdir())) == 21
    assert len({path.read_bytes() for path in out.glob("*.csv")}) == 1
