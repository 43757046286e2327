"""The page of target ``web`` in a real Firefox, from a disk and from a plain server; docs/testing.md says how to get it."""

import json
import os
import shutil
import subprocess

import pytest
from client_models import client_feeds, client_model
from web_pages import HERE, PENGUINS, RUNTIME, answers, assert_scored, export, penguins, placed, rows_of, table_of

pytestmark = pytest.mark.consumers


@pytest.fixture(scope="module")
def firefox():
    """A function that drives a page: what it showed, and the rows of the file that it gave back."""
    program = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
    node, driver = shutil.which("node"), HERE / "node_modules/puppeteer-core"
    if program is None or node is None or not driver.is_dir() or not RUNTIME.is_dir():
        pytest.fail("firefox, node, puppeteer-core or onnxruntime-web is not installed; docs/testing.md says what this needs")

    def drive(url, table, folder):
        command = [node, HERE / "firefox.mjs", program, url, table, folder]
        done = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, encoding="utf-8", check=False, timeout=180
        )
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)
        assert shown.pop("said") == []
        assert [each for each in shown.pop("asked") if each != url and not each.startswith("blob:")] == []
        saved = folder / f"{table.stem}_predictions.csv"
        return shown, rows_of(saved.read_bytes()) if saved.exists() else None

    return drive


@pytest.mark.parametrize("kind", ["disk", "server"])
@pytest.mark.parametrize("case", ["classes", "numbers"])
def test_hostile_rows_of_a_file(firefox, case, kind, tmp_path):
    model = client_model(case)
    content = table_of(model, client_feeds(model))
    (tmp_path / "rows.csv").write_bytes(content)
    names, expected = answers(model, tmp_path / "rows.csv")
    export(model, tmp_path / "page")
    with placed(tmp_path / "page", kind) as address:
        shown, told = firefox(f"{address}/index.html", tmp_path / "rows.csv", tmp_path)
    assert "same answers" in shown["status"]
    assert_scored(told, content, names, expected)


def test_a_form_in_line_and_a_file_that_does_not_fit(firefox, tmp_path):
    (tmp_path / "wrong.csv").write_text(
        PENGUINS.read_text("utf-8").replace("39.1,", "39;1,", 1).replace("sex", "Sex", 1), "utf-8"
    )
    url = export(penguins(), tmp_path / "page", data=str(PENGUINS))
    shown, saved = firefox(url, tmp_path / "wrong.csv", tmp_path)
    assert saved is None
    assert shown["problems"][0] == "There is no column “sex”; rename “Sex” if that is it"
    assert shown["answer"] in ("Adelie", "Chinstrap", "Gentoo")
    tops = shown["tops"]
    assert [tops[i] == tops[i + 1] for i in (0, 2, 4)] == [True] * 3
