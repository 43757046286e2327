"""``onnxlearn report``: a page about the results of folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import onnxlearn as ol


@pytest.fixture
def results(folder) -> Path:
    task = ol.example_task("iris")
    ol.benchmark(task, ol.learner("featureless"), ol.CV(2), "acc", store=folder / "one", predictions=False, progress=False)
    return folder / "one"


def test_the_page_is_that_of_the_library(command, results) -> None:
    done = command("report", "one", "--out", "report.html")
    assert (done.code, done.out, done.err) == (0, "", "onnxlearn: wrote report.html (2 iterations)\n")
    ol.report("one", "same.html")
    assert Path("report.html").read_bytes() == Path("same.html").read_bytes()
    page = command("report", "one", "--out", "-", "--title", "Flowers & co").out
    assert page.count("<h1>Flowers &amp; co</h1>") == 1
    assert page.rstrip().endswith("</html>")


def test_folders_of_several_machines_are_put_together(command, results) -> None:
    shutil.copytree("one", "two")
    first, second = (sorted(Path(name).glob("runs/*/*/*/*.json")) for name in ("one", "two"))
    first[0].unlink()
    second[1].unlink()
    done = command("report", "one", "two", "--out", "report.html")
    assert done.err == "onnxlearn: wrote report.html (2 iterations)\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--out", "report.html"], "'nowhere' is no results folder: it has no design.json"),
        (["one", "nowhere", "--out", "report.html"], "'nowhere' is no results folder"),
        (["one", "--out", "nowhere/report.html"], "there is no folder"),
        (["one", "--out", "folder.html"], "it is a folder"),
        (["one", "--out", "page.pdf"], "a report is an HTML page, and 'page.pdf' is none by its name: --out report.html"),
        (["one", "--out", "one/runs/page.html"], "is inside the results 'one', which hold nothing else: choose another place"),
        (["one"], "Missing option '--out'"),
    ],
)
def test_bad_input(command, results, arguments, message) -> None:
    Path("folder.html").mkdir()
    done = command("report", *arguments)
    assert done.code == 2
    assert message in done.error
    assert [path.name for path in Path().rglob("*.html")] == ["folder.html"]
