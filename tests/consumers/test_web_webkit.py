"""The page of target ``web`` in WebKit, the engine of Safari and of every browser on an iPhone; docs/testing.md says how."""

import os
import shutil
from pathlib import Path

import pytest
from client_models import client_feeds, client_model
from web_pages import RUNTIME, answers, assert_scored, export, placed, rows_of, table_of

pytestmark = [
    pytest.mark.consumers,
    # Selenium's own, in its driver of WebKit.
    pytest.mark.filterwarnings("ignore:setting remote_server_addr:DeprecationWarning"),
]
BROWSER = os.environ.get("WEBKIT") or next(map(str, Path("/usr/lib").glob("*/webkit2gtk-4*/MiniBrowser")), None)


@pytest.fixture(scope="module")
def webkit():
    try:
        from selenium import webdriver
    except ImportError:
        pytest.fail("selenium is not installed; docs/testing.md says what these tests need")
    driver = shutil.which("WebKitWebDriver")
    if BROWSER is None or driver is None or not RUNTIME.is_dir() or "DISPLAY" not in os.environ:
        pytest.fail("webkit2gtk-driver, onnxruntime-web or a display is missing; docs/testing.md says what these tests need")
    options = webdriver.WebKitGTKOptions()
    options.binary_location = BROWSER
    options.add_argument("--automation")
    browser = webdriver.WebKitGTK(options=options, service=webdriver.WebKitGTKService(driver))
    browser.set_script_timeout(60)
    yield browser
    browser.quit()


def until(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 60).until(lambda _: browser.execute_script(f"return {condition}"))


@pytest.mark.parametrize("kind", ["disk", "server"])
@pytest.mark.parametrize("case", ["classes", "numbers"])
def test_hostile_rows_of_a_file(webkit, case, kind, tmp_path):
    model = client_model(case)
    content = table_of(model, client_feeds(model))
    (tmp_path / "rows.csv").write_bytes(content)
    names, expected = answers(model, tmp_path / "rows.csv")
    export(model, tmp_path / "page")
    with placed(tmp_path / "page", kind) as address:
        webkit.get(f"{address}/index.html")
        until(webkit, "document.documentElement.dataset.ready")
        assert "same answers" in webkit.find_element("id", "status").text
        webkit.find_element("id", "example").click()
        until(webkit, "document.querySelector('.answer')")
        # The file that is offered, which no driver can save here.
        webkit.execute_script("const make = URL.createObjectURL; URL.createObjectURL = (blob) => make(window.offered = blob)")
        webkit.find_element("id", "file").send_keys(str(tmp_path / "rows.csv"))
        until(webkit, "document.querySelector('#file-result > *')")
        assert webkit.execute_script("return document.querySelector('.problems')?.textContent") is None
        told = webkit.execute_async_script("const done = arguments[0]; window.offered.text().then(done)")
    assert_scored(rows_of(told.encode()), content, names, expected)
