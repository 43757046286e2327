"""The page of target ``web``: what is in its folder, and what is refused; tests/consumers drives it."""

import base64
import gzip
import hashlib
import html.parser
import io
import json
import re
import tarfile

import numpy as np
import pytest

import onnxlearn as ol
from onnxlearn.errors import DataError, MissingExtraError, ParameterError
from onnxlearn.export.web.page import TEMPLATES, Web
from onnxlearn.graph.rewrite import rewrite
from onnxlearn.model import Model
from tests.core.client_models import client_model
from tests.core.small_models import PRICE, schema_of, small_model

SCRIPT = "var u=import.meta.url,s=1;export{s as InferenceSession,u as default};\n//# sourceMappingURL=ort.mjs.map\n"
WASM = bytes(range(256)) * 40
FILES = {
    "package.json": json.dumps({"name": "onnxruntime-web", "version": "1.30.0"}).encode(),
    "dist/ort.wasm.bundle.min.mjs": SCRIPT.encode(),
    "dist/ort-wasm-simd-threaded.wasm": WASM,
}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """A package of the form of npm's, which is 138 MB."""
    return packed(tmp_path_factory.mktemp("npm") / "node_modules" / "onnxruntime-web", FILES)


def packed(folder, files):
    (folder / "dist").mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


class Page(html.parser.HTMLParser):
    """Texts and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts = [("", {})], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        self.elements.append(("", {}))

    def handle_data(self, data):
        tag, attributes = self.elements[-1]
        key = attributes.get("id", tag)
        self.texts[key] = self.texts.get(key, "") + data


def page_of(model, folder, runtime, **options):
    model.export("web", folder, runtime=str(runtime), **options)
    return Page((folder / "index.html").read_text("utf-8"))


def small():
    return Model(small_model(schema_of(PRICE)))


def unpacked(page, name):
    return gzip.decompress(base64.b64decode(page.texts[name]))


def test_the_folder_holds_a_page_with_model_and_runtime_and_the_licence(tmp_path, runtime):
    model = client_model("classes")
    page = page_of(model, tmp_path / "page", runtime)
    assert {path.name for path in (tmp_path / "page").iterdir()} == {"index.html", "THIRD_PARTY.txt"}
    assert unpacked(page, "model") == model.to_bytes()
    assert unpacked(page, "wasm") == WASM
    assert unpacked(page, "runtime") == b"var u=self.location.href,s=1;const ort={InferenceSession:s,default:u};"
    licence = (tmp_path / "page/THIRD_PARTY.txt").read_text("utf-8")
    assert "ONNX Runtime Web 1.30.0" in licence
    assert "MIT License" in licence
    again = tmp_path / "again"
    model.export("web", again, runtime=str(runtime))
    assert (again / "index.html").read_bytes() == (tmp_path / "page/index.html").read_bytes()


def test_the_policy_allows_the_pages_own_script_and_no_connection(tmp_path, runtime):
    page = page_of(small(), tmp_path / "page", runtime)
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "worker-src", "style-src", "img-src", "base-uri", "form-action"}
    for rule, tag in (("script-src", "script"), ("style-src", "style")):
        digest = base64.b64encode(hashlib.sha256(page.texts[tag].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in rules[rule]
        assert "unsafe-inline" not in rules[rule]
    links = [a.get(name) for _, a in page.elements for name in ("src", "href", "action") if name in a]
    assert all(link.startswith("data:") for link in links)
    assert not [a for _, a in page.elements if any(name.startswith("on") or name == "style" for name in a)]


def test_no_text_of_a_model_becomes_markup(tmp_path, runtime):
    evil = "</script><script>alert(1)</script><!-- \"' & {{ 7 * 7 }}"
    for case in ("classes", "several"):
        model = client_model(case)
        page = page_of(model, tmp_path / case, runtime, title=evil, description=evil)
        plain = page_of(small(), tmp_path / f"{case}_plain", runtime)
        assert [tag for tag, _ in page.elements if tag in ("script", "style", "meta", "link")] == [
            tag for tag, _ in plain.elements if tag in ("script", "style", "meta", "link")
        ]
        assert page.texts["title"] == page.texts["h1"] == evil
        document = json.loads(page.texts["description"])
        assert [column["name"] for column in document["columns"]] == list(model.schema.feature_names)
        assert document["classes"] == [str(label) for label in model.schema.target.classes]


def test_our_scripts_make_no_markup_either():
    for path in sorted(TEMPLATES.glob("*.js")):
        text = path.read_text("utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|fetch\(|https?://", text
        ), path
        assert "</script" not in text


def test_the_document_tells_columns_and_outputs(tmp_path, runtime):
    document = json.loads(page_of(client_model("flags"), tmp_path / "page", runtime).texts["description"])
    columns = {column["name"]: column for column in document["columns"]}
    assert columns["flight"]["levels"] == ["-7", "15", str(2**53 + 1)]
    assert columns["flight"]["type"] == "INT64"
    assert columns["Row"]["role"] == "strict_flag"
    assert columns["departure day"]["example"].startswith("1969-")
    assert columns["größe"]["range"] is None
    assert document["classes"] == ["False", "True"]
    assert [output["csv"] for output in document["outputs"]] == [
        ["label"],
        ["prob_False", "prob_True"],
        ["set_False", "set_True"],
    ]
    assert document["coverage"] == 0.9
    # Integers that JavaScript rounds go as text.
    assert all(isinstance(value, str) for value in document["check"]["inputs"][0])


def test_a_table_gives_ranges_and_a_typical_row(tmp_path, runtime):
    model = ol.learner("featureless").fit(ol.example_task("penguins"))
    document = json.loads(page_of(model, tmp_path / "page", runtime, data="example:penguins").texts["description"])
    columns = {column["name"]: column for column in document["columns"]}
    assert columns["bill_length_mm"]["range"] == ["32.1", "59.6"]
    assert columns["bill_length_mm"]["example"] == "44.4"
    assert columns["island"]["range"] is None
    assert columns["island"]["example"] == "Biscoe"
    told = model.predict_one(dict.fromkeys(model.schema.feature_names))["probabilities"]
    assert document["check"]["outputs"][1][3:6] == pytest.approx(list(told.values()))
    (tmp_path / "other.csv").write_text("x\n1\n", "utf-8")
    with pytest.raises(DataError, match="bill_length_mm"):
        model.export("web", tmp_path / "wrong", runtime=str(runtime), data=str(tmp_path / "other.csv"))
    assert not (tmp_path / "wrong").exists()


def test_the_runtime_is_found_as_node_finds_it(tmp_path, runtime, monkeypatch):
    below = runtime.parent.parent / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert small().export("web", tmp_path / "page") == ["open it: FOLDER/index.html, by a double click or from any web server"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParameterError, match=r"in no node_modules from here up: npm install onnxruntime-web.*runtime="):
        small().export("web", tmp_path / "none")


def test_the_runtime_may_be_what_npm_packs(tmp_path, runtime):
    path = tmp_path / "onnxruntime-web-1.30.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in FILES.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    page = page_of(small(), tmp_path / "page", path)
    assert unpacked(page, "wasm") == WASM
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ParameterError, match="cannot be read"):
        page_of(small(), tmp_path / "damaged", path)


WRONG = {
    "another": ({"package.json": b'{"name": "left-pad", "version": "1.0.0"}'}, "is left-pad: npm install onnxruntime-web"),
    "no_json": ({"package.json": b"{"}, "is none"),
    "old": ({"dist/ort-wasm-simd-threaded.wasm": None}, "1.20 or newer: .* has no dist/ort-wasm-simd-threaded.wasm"),
    "other_form": ({"dist/ort.wasm.bundle.min.mjs": b"module.exports = {}"}, "has another form"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_runtime_that_is_none_is_refused(tmp_path, case):
    changed, message = WRONG[case]
    files = {name: content for name, content in {**FILES, **changed}.items() if content is not None}
    with pytest.raises(ParameterError, match=message):
        small().export("web", tmp_path / "page", runtime=str(packed(tmp_path / "npm", files)))
    assert not (tmp_path / "page").exists()


def test_no_runtime_no_jinja_and_no_columns(tmp_path, runtime, monkeypatch):
    with pytest.raises(ParameterError, match="there is no runtime"):
        small().export("web", tmp_path / "page", runtime=str(tmp_path / "nowhere"))
    packed_inputs = Model(rewrite(small().to_bytes(), rank=1))
    with pytest.raises(ParameterError, match="exported with other inputs"):
        packed_inputs.export("web", tmp_path / "page", runtime=str(runtime))
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"onnxlearn\[export\]"):
        small().export("web", tmp_path / "page", runtime=str(runtime))


def test_the_check_holds_what_the_model_gives(tmp_path, runtime):
    model = client_model("numbers")
    check = json.loads(page_of(model, tmp_path / "page", runtime).texts["description"])["check"]
    from onnxlearn import self_test

    outputs = model.predict_feeds(self_test.rows_of(model.schema))
    for values, expected in zip(check["outputs"], outputs.values(), strict=True):
        np.testing.assert_array_equal(values, np.ravel(expected))
    assert Web().is_folder
