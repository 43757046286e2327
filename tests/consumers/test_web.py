"""The page of target ``web`` in a real Chromium, offline: driven as people do, its answers are those of the model.

docs/testing.md says how to get the browser and the runtime.
"""

import contextlib
import gzip
import itertools
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from client_models import CASES, client_feeds, client_model
from web_pages import (
    HERE,
    PENGUINS,
    RUNTIME,
    answers,
    assert_same,
    assert_scored,
    cells_of,
    export,
    penguins,
    rows_of,
    served,
    table_of,
)

import onnxlearn as ol
from onnxlearn.export.clients.description import fields_of
from onnxlearn.schema import MISSING_INT64

PICTURES = os.environ.get("ONNXLEARN_PICTURES")
pytestmark = [
    pytest.mark.consumers,
    # Playwright's own threads and pipes.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("playwright is not installed; docs/testing.md says what these tests need")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not RUNTIME.is_dir() or program is None:
        pytest.fail("chromium or onnxruntime-web is not installed; docs/testing.md says what these tests need")
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextlib.contextmanager
def opened(browser, url, expected=(), **options):
    """The page, ready, cut off from every network; whatever it logs or asks for is an error."""
    context = browser.new_context(offline=url.startswith("file:"), **options)
    page = context.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    yield page
    context.close()
    assert [text for text in said if not any(part in text for part in expected)] == []
    assert all(each == url or each.startswith("blob:") for each in asked), asked


def upload(page, name, content):
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": content})
    page.wait_for_selector("#file-result > *", timeout=120_000)
    assert page.is_hidden("#progress")


def scored(page):
    """The text of the file that the page offers."""
    with page.expect_download() as download:
        page.click("#file-result a.button")
    return Path(download.value.path()).read_bytes()


def problems(page):
    return page.locator("#file-result .problems li").all_inner_texts()


@pytest.mark.parametrize("case", [*CASES, "indices", "unseen", "masks"])
def test_hostile_rows_of_a_file(browser, case, tmp_path):
    model = client_model(case)
    content = table_of(model, client_feeds(model))
    (tmp_path / "rows.csv").write_bytes(content)
    names, expected = answers(model, tmp_path / "rows.csv")
    with opened(browser, export(model, tmp_path / "page"), accept_downloads=True) as page:
        assert "same answers" in page.inner_text("#status")
        upload(page, "rows.csv", content)
        told = rows_of(scored(page))
        page.click("#example")
        page.wait_for_selector(".answer")
    assert_scored(told, content, names, expected)


@pytest.mark.parametrize("case", ["classes", "flags", "codes", "spread"])
def test_hostile_rows_of_the_form(browser, case, tmp_path):
    model = client_model(case)
    feeds = client_feeds(model)
    # What a control of the browser cannot hold: a line break in a line of text, a fraction of a second that is hidden.
    feeds["東京"] = np.where(feeds["東京"] == "line\nbreak", "line", feeds["東京"])
    for column in model.schema.of_kind("datetime"):
        dates = feeds[column.name]
        feeds[column.name] = np.where(dates == MISSING_INT64, dates, dates // 10**6 * 10**6)
    expected = model.predict_feeds(feeds)
    fields = fields_of(model)
    rows = [
        dict(zip([f.name for f in fields], row, strict=True)) for row in zip(*(cells_of(f, feeds) for f in fields), strict=True)
    ]
    with opened(browser, export(model, tmp_path / "page")) as page:
        for i, row in list(enumerate(rows))[:20]:
            page.click("#clear")
            for number, field in enumerate(fields):
                enter(page, field, number, row[field.name])
            page.click("#predict")
            page.wait_for_selector(".answer, .error:not([hidden])")
            assert page.locator(".error:not([hidden])").count() == 0
            answer = page.get_attribute(".answer", "data-value")
            if "label" not in expected:
                assert float(answer) == pytest.approx(float(expected["prediction"][i, 0]), rel=1e-5)
                continue
            label = expected["label"][i]
            assert answer == str(bool(label) if case == "flags" else label)
            bars = page.eval_on_selector_all(".bar", "bars => bars.map(({ dataset }) => [dataset.name, Number(dataset.value)])")
            told = dict(zip(map(str, model.schema.target.classes), expected["probabilities"][i].tolist(), strict=True))
            assert {name for name, _ in bars} == set(told)
            for name, share in bars:
                assert share == pytest.approx(told[name], abs=1e-5)


def enter(page, field, number, cell):
    control = f"#field-{number}"
    if field.role in ("flag", "strict_flag"):
        page.click(f'input[name="field-{number}"][value="{cell.lower()}"] + label')
    elif field.column.kind == "datetime":
        page.fill(control, cell.removesuffix("Z"))
    elif page.evaluate("id => document.querySelector(id).tagName", control) == "SELECT":
        levels = [str(level) for level in field.column.levels]
        page.select_option(control, "" if cell == "" else str(levels.index(cell)) if cell in levels else "other")
        if cell != "" and cell not in levels:
            page.fill(f"{control} ~ .other", cell)
    else:
        page.fill(control, cell)


def test_keyboard_alone(browser, tmp_path):
    url = export(penguins(), tmp_path / "page", data=str(PENGUINS))
    row = {"island": "Dream", "bill_length_mm": 49.5, "bill_depth_mm": 19, "flipper_length_mm": 200, "body_mass_g": 3800,
           "sex": "male", "year": 2008}  # fmt: skip
    visited = []
    with opened(browser, url) as page:
        for name, value in row.items():
            page.keyboard.press("Tab")
            visited.append(page.evaluate("document.activeElement.labels?.[0]?.textContent"))
            style = page.evaluate(
                "(({ outlineStyle, outlineWidth }) => [outlineStyle, outlineWidth])(getComputedStyle(document.activeElement))"
            )
            assert style == ["solid", "3px"], name
            page.keyboard.type(str(value))
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "predict"
        page.keyboard.press("Enter")
        page.wait_for_selector(".answer")
        assert page.inner_text(".answer") == penguins().predict_one(row)["label"]
        order = ["example", "clear", "file"]
        for expected in order:
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.id") == expected
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.is_visible("#save")
    assert visited == list(row)


def test_what_is_wrong_with_a_field_stands_beside_it(browser, tmp_path):
    with opened(browser, export(penguins(), tmp_path / "page", data=str(PENGUINS))) as page:
        page.fill("#field-1", "39,5")
        page.fill("#field-3", "1e999")
        page.click("#predict")
        assert page.evaluate("document.activeElement.id") == "field-1"
        assert page.inner_text("#field-1-error") == "Expected a number, not “39,5”: write decimals with a point"
        assert page.inner_text("#field-3-error") == "1e999 is infinite: leave it empty for missing"
        assert page.get_attribute("#field-1", "aria-invalid") == "true"
        assert "field-1-error" in page.get_attribute("#field-1", "aria-describedby")
        assert page.locator(".answer").count() == 0
        page.fill("#field-1", "39.5")
        page.fill("#field-3", "900")
        page.select_option("#field-0", "other")
        page.fill("#field-0 ~ .other", "Köln")
        page.click("#predict")
        page.wait_for_selector(".answer")
        assert page.locator("#result .remarks li").all_inner_texts() == [
            "4 of 7 fields count as missing.",
            "“island”: “Köln” was not there in training.",
            "“flipper_length_mm”: 900 is outside of what is usual.",
        ]
        # Once there is a prediction, it follows the fields.
        before = page.get_attribute(".bar", "data-value")
        page.fill("#field-1", "60")
        page.keyboard.press("Tab")
        page.wait_for_function("value => document.querySelector('.bar').dataset.value !== value", arg=before)
        assert page.is_hidden("#stale")
        page.fill("#field-1", "long")
        page.keyboard.press("Tab")
        page.wait_for_selector("#stale:not([hidden])")


HEAD = "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year"
GOOD = f"{HEAD}\nDream,49.5,19,200,3800,male,2008\n"
ROW = "Dream,49.5,19,200,3800,male,2008"
WRONG = {
    "renamed": (
        GOOD.replace("bill_length_mm", "bill_lenght"),
        ["There is no column “bill_length_mm”; rename “bill_lenght” if that is it"],
    ),
    "cells": (
        f"{GOOD}Dream,x,19,200,1_000,male,2008\n",
        [
            "Line 3, “bill_length_mm”: expected a number, not “x”",
            "Line 3, “body_mass_g”: expected a number, not “1_000”",
        ],
    ),
    "all over": (
        GOOD + f"{ROW}\n" * 2000 + "Dream,x,y,z,w,male,\n" + f"{ROW}\n" * 3000 + "Dream,x,y,z,w,male,q\n" + f"{ROW},1\n",
        [
            *(f"Line 2003, “{name}”: expected a number" for name in HEAD.split(",")[1:5]),
            *(f"Line 5004, “{name}”: expected a number" for name in HEAD.split(",")[1:5]),
            "And 1 cell more",
            "Line 5005 has 8 fields, the header names 7 columns",
        ],
    ),
    "short": (f"{GOOD}Dream,1\n", ["Line 3 has 2 fields, the header names 7 columns; mend the line, or quote"]),
    "blank": (f"{GOOD}\n{ROW}\n", ["Line 3 is blank, with rows after it; remove it"]),
    "open": (f'{GOOD}"{ROW}\n', ["Line 3: a quote is opened and never closed; mend"]),
    "after": (f'{GOOD}"Dream"x{ROW[5:]}\n', ["Line 3: there is text after a closing quote; mend"]),
    "twice": (GOOD.replace("sex", "island", 1), ["The header names “island” more than once; rename"]),
    "empty": ("", ["The file is empty; its first line has to name the columns"]),
}


def test_files_that_do_not_fit(browser, tmp_path):
    with opened(browser, export(penguins(), tmp_path / "page")) as page:
        for name, (content, expected) in WRONG.items():
            upload(page, f"{name}.csv", content.encode())
            for text, start in zip(problems(page), expected, strict=False):
                assert text.startswith(start), name
            assert len(problems(page)) >= len(expected)
            page.evaluate("document.getElementById('file-result').replaceChildren()")
        upload(page, "latin1.csv", GOOD.replace("Dream", "Köln").encode("latin1"))
        assert problems(page) == ["The file is not UTF-8: save it as “CSV UTF-8”"]
        page.evaluate("document.getElementById('file-result').replaceChildren()")
        upload(page, "broken.csv.gz", gzip.compress(GOOD.encode())[:-12])
        assert "cannot be read" in problems(page)[0]


def test_what_looks_like_a_number_stays_as_it_is_where_it_is_none(browser, tmp_path):
    """Labels and columns of a file; numbers of one output have as many digits, and stand in line."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=90), "size": rng.choice(["1.50", "2.5", "1e3"], 90)})
    model = ol.learner("linear", max_epochs=1).fit(ol.Task.from_frame(frame, "size"), progress=False)
    with opened(browser, export(model, tmp_path / "page")) as page:
        upload(page, "rows.csv", ("x,note\n" + "".join(f"{x},007.10\n" for x in frame.x[:20])).encode())
        rows = page.eval_on_selector_all(
            "td", "cells => cells.map(each => [each.textContent, getComputedStyle(each).textAlign])"
        )
    labels, shares, notes = rows[0::6], [cell for i in (1, 2, 3) for cell in rows[i::6]], rows[5::6]
    assert {text for text, _ in labels} <= {"1.50", "2.5", "1e3"}
    assert {tuple(cell) for cell in notes} == {("007.10", "start")}
    assert all(re.fullmatch(r"0\.\d{4}", text) and align == "end" for text, align in shares)


def test_long_names_and_many_classes_stay_in_line(browser, tmp_path):
    """Controls beside each other, cards one below the other; a prediction moves nothing away from under the pointer."""
    rng = np.random.default_rng(0)
    names = ["height", "girth at breast height in centimetres, with bark, on the uphill side of the stem", "crown", "soil"]
    frame = pd.DataFrame(rng.normal(size=(300, 4)), columns=names)
    frame["species"] = [f"Quercus robur subsp. pedunculiflora, provenance {i % 30}" for i in range(300)]
    model = ol.learner("linear", max_epochs=1).fit(ol.Task.from_frame(frame, "species"), progress=False)
    with opened(browser, export(model, tmp_path / "page"), viewport={"width": 1280, "height": 900}) as page:
        tops = page.eval_on_selector_all("#fields input", "all => all.map(each => each.getBoundingClientRect().top)")
        assert tops[0] == tops[1]
        assert tops[2] == tops[3]
        page.click("#example")
        page.wait_for_selector(".answer")
        assert page.evaluate("scrollY") == 0
        cards = page.eval_on_selector_all(
            ".card:not(#result-card)",
            "all => all.map(each => { const { top, bottom } = each.getBoundingClientRect(); return [top, bottom]; })",
        )
        gaps = [below[0] - above[1] for above, below in itertools.pairwise(cards)]
        assert gaps == pytest.approx([20, 20], abs=0.1)
        assert page.locator(".bar:visible").count() == 8
        page.click("#result summary")
        assert page.locator(".bar:visible").count() == 30


def test_predict_is_in_reach_and_hides_no_field(browser, tmp_path):
    """In a long form on a phone, by keyboard."""
    frame = pd.DataFrame({f"sensor {i}": np.arange(40.0) + i for i in range(30)} | {"y": np.arange(40.0)})
    model = ol.learner("linear", max_epochs=1).fit(ol.Task.from_frame(frame, "y"), progress=False)
    with opened(browser, export(model, tmp_path / "page"), viewport={"width": 320, "height": 640}) as page:
        page.focus("#filter")
        for _ in range(30):
            page.keyboard.press("Tab")
            bottom, edge = page.evaluate(
                "[document.activeElement, document.querySelector('#form .actions')].map((each, i) => "
                "each.getBoundingClientRect()[i ? 'top' : 'bottom'])"
            )
            assert bottom <= edge < 640


def test_files_that_fit_in_every_form(browser, tmp_path):
    model = penguins()
    values = ("Dream", 49.5, None, 200, 3800, "male", 2008)
    expected = model.predict_one(dict(zip(HEAD.split(","), values, strict=True)))
    plain = GOOD.replace(",19,", ",NA,")
    forms = {
        "plain.csv": plain.encode(),
        "bom.csv": b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode(),
        "returns.csv": plain.replace("\n", "\r").encode(),
        "tabs.tsv": plain.replace(",", "\t").encode(),
        "semicolons.csv": plain.replace(",", ";").encode(),
        "packed.csv.gz": gzip.compress(plain.encode()),
        "quotes.csv": ('"a ""b""\r\nc",' + HEAD + '\n"x,\ny",Dream,49.5, NA ,2e2,"3800","male",2008\n\n\n').encode(),
        "label.csv": plain.replace(HEAD, f"label,{HEAD}").replace("\nDream", "\nx,Dream").encode(),
        "no_last_break.csv": plain.rstrip("\n").encode(),
    }
    with opened(browser, export(model, tmp_path / "page"), accept_downloads=True) as page:
        for name, content in forms.items():
            page.evaluate("document.getElementById('file-result').replaceChildren()")
            upload(page, name, content)
            result = scored(page)
            assert result.startswith(b"\xef\xbb\xbf") == (name == "bom.csv")
            head, row = rows_of(result, {"tabs.tsv": "\t", "semicolons.csv": ";"}.get(name, ","))
            found = dict(zip(head, row, strict=True))
            assert found["predicted_label" if name == "label.csv" else "label"] == expected["label"], name
            for label, probability in expected["probabilities"].items():
                assert float(found[f"prob_{label}"]) == pytest.approx(probability, abs=1e-5), name
            if name == "quotes.csv":
                assert found['a "b"\r\nc'] == "x,\ny"
        page.evaluate("document.getElementById('file-result').replaceChildren()")
        upload(page, "none.csv", f"{HEAD}\n".encode())
        assert rows_of(scored(page)) == [[*HEAD.split(","), "label", "prob_Adelie", "prob_Chinstrap", "prob_Gentoo"]]


def test_a_large_file_is_dropped_and_the_page_goes_on(browser, tmp_path):
    n = 100_000
    lines = PENGUINS.read_text("utf-8").splitlines()
    content = "\n".join([lines[0], *(lines[1 + i % 344] for i in range(n))]).encode()
    (tmp_path / "large.csv").write_bytes(content)
    names, expected = answers(penguins(), tmp_path / "large.csv")
    with opened(browser, export(penguins(), tmp_path / "page"), accept_downloads=True) as page:
        page.evaluate(
            """text => {
                window.longest = 0;
                let last = performance.now();
                const tick = now => {
                    window.longest = Math.max(window.longest, now - last);
                    last = now;
                    requestAnimationFrame(tick);
                };
                requestAnimationFrame(tick);
                const data = new DataTransfer();
                data.items.add(new File([text], "large.csv"));
                window.began = performance.now();
                document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
            }""",
            content.decode(),
        )
        page.wait_for_selector("#progress:not([hidden])")
        # The form answers meanwhile.
        page.click("#example")
        page.wait_for_selector(".answer")
        page.wait_for_selector("#file-result a.button", timeout=300_000)
        assert page.evaluate("window.longest") < 1000
        head, *found = rows_of(scored(page))
        # And a second one can be stopped.
        page.set_input_files("#file", tmp_path / "large.csv")
        page.click("#cancel")
        page.wait_for_selector(".problems")
        assert problems(page) == ["Stopped before its end"]
    assert len(found) == n
    assert head[-len(names) :] == names
    for row, values in zip(found[::997], expected[::997], strict=True):
        assert_same(row[-len(names) :], values)


def test_a_plain_server(browser, tmp_path):
    export(penguins(), tmp_path / "page")
    with (
        served(tmp_path / "page") as address,
        opened(browser, f"{address}/index.html", expected=["img-src data:"]) as page,
    ):
        page.click("#example")
        page.wait_for_selector(".answer")
        # Not even a script of the page can reach a network.
        refused = page.evaluate(
            """new Promise(done => {
                addEventListener("securitypolicyviolation", event => done(event.violatedDirective));
                new Image().src = location.href;
            })"""
        )
        assert refused.startswith("img-src")


def test_many_columns(browser, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"gene {i:03}": rng.normal(size=60) for i in range(500)} | {"kind": rng.choice(list("ab"), 60)})
    model = ol.learner("linear", max_epochs=1).fit(ol.Task.from_frame(frame, "kind"), progress=False)
    with opened(browser, export(model, tmp_path / "page"), viewport={"width": 320, "height": 640}) as page:
        page.fill("#filter", "gene 49")
        assert page.inner_text("#filter-count") == "10 of 500 fields"
        assert page.locator(".field:visible").count() == 10
        page.fill("#field-497", "x")
        page.fill("#filter", "gene 000")
        page.click("#predict")
        # What is wrong is shown, although it was filtered away.
        assert page.evaluate("document.activeElement.id") == "field-497"
        page.fill("#field-497", "1.5")
        page.click("#predict")
        page.wait_for_selector(".answer")
        row = dict.fromkeys(model.schema.feature_names) | {"gene 497": 1.5}
        assert page.get_attribute(".answer", "data-value") == model.predict_one(row)["label"]


VIEWS = {
    "light": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 320, "height": 640}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2},
}


@pytest.mark.parametrize("view", VIEWS)
def test_light_dark_and_phone(browser, view, tmp_path):
    """``ONNXLEARN_PICTURES`` names a folder for pictures to look at."""
    for case in ("penguins", "classes", "numbers"):
        model = penguins() if case == "penguins" else client_model(case)
        data = str(PENGUINS) if case == "penguins" else None
        content = PENGUINS.read_bytes() if case == "penguins" else table_of(model, client_feeds(model))
        with opened(browser, export(model, tmp_path / case, data=data), reduced_motion="reduce", **VIEWS[view]) as page:
            page.click("#example")
            page.wait_for_selector(".answer")
            picture(page, f"{case}_{view}_row")
            upload(page, "table.csv", content)
            page.click(".about summary")
            picture(page, f"{case}_{view}_whole", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") == VIEWS[view]["viewport"]["width"]
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
                "rgb(18, 20, 27)" if view == "dark" else "rgb(245, 246, 249)"
            )
            small = page.evaluate(
                """[...document.querySelectorAll("button, .button, select, input:not([type=radio], [type=file])")]
                   .filter(each => each.checkVisibility() && each.getBoundingClientRect().height < 40).length"""
            )
            assert small == 0
            assert page.evaluate("document.getAnimations().length") == 0


def picture(page, name, **options):
    if PICTURES:
        Path(PICTURES).mkdir(exist_ok=True)
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"), **options)


def test_accessibility_by_rule(browser, tmp_path):
    """axe-core finds nothing: names, roles, contrasts, order of headings, in light and dark."""
    axe = HERE / "node_modules/axe-core/axe.min.js"
    axe = Path(os.environ.get("AXE_CORE", axe))
    if not axe.is_file():
        pytest.fail("axe-core is not installed; docs/testing.md says what these tests need")
    for scheme in ("light", "dark"):
        with opened(
            browser, export(client_model("classes"), tmp_path / scheme), color_scheme=scheme, reduced_motion="reduce"
        ) as page:
            page.evaluate(axe.read_text("utf-8"))
            page.select_option("#field-0", "other")
            page.fill("#field-0 ~ .other", "x")
            page.click("#predict")
            upload(page, "wrong.csv", b"x\n1\n")
            found = page.evaluate("axe.run()")["violations"]
            page.click("#example")
            page.wait_for_selector(".answer")
            page.click(".about summary")
            upload(page, "rows.csv", table_of(client_model("classes"), client_feeds(client_model("classes"))))
            found += page.evaluate("axe.run()")["violations"]
        assert not found, json.dumps([(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found], indent=1)
