"""One page that holds everything: the form, the model and the runtime, packed as text."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from onnxlearn.errors import MissingExtraError, ParameterError
from onnxlearn.export.target import Target
from onnxlearn.params import param

if TYPE_CHECKING:
    from onnxlearn.export.web.runtime import WebRuntime
    from onnxlearn.model import Model

TEMPLATES = Path(__file__).parent / "templates"
PAGE, LICENCE = "index.html", "THIRD_PARTY.txt"
_PAGE_SCRIPTS = ("values.js", "dom.js", "form.js", "result.js", "file.js", "main.js")
_WORKER_SCRIPTS = ("values.js", "csv.js", "worker.js")
_ABOUT = ("predicts", "how well", "trained", "calibrated", "checked", "converted", "made with", "notes")


@dataclass(frozen=True, kw_only=True)
class Web(Target):
    """Target ``web``: the page asks nobody for anything, and so runs from a disk, a server, or an e-mail."""

    meaning: ClassVar[str] = "a page that runs the model in its visitor's browser, on a form's row or a whole table"
    is_folder: ClassVar[bool] = True

    runtime: str | None = param(
        None, "onnxruntime-web of npm: its folder in node_modules, or the .tgz of npm pack (None: node_modules here or above)"
    )
    data: str | None = param(None, "table whose ranges stand beside the fields; its typical row is the example")
    title: str | None = param(None, "heading of the page (None: the target's name)")
    description: str | None = param(None, "what stands beneath it (None: the task's name and the rows of training)")

    def write(self, model: Model, out: Path) -> list[str]:
        """Write the page and the licence of the runtime in it."""
        from onnxlearn.export.web.runtime import find_runtime

        _require_columns(model)
        runtime = find_runtime(self.runtime)
        (out / PAGE).write_text(self.page(model, runtime), encoding="utf-8", newline="\n")
        licence = (TEMPLATES / "onnxruntime_licence.txt").read_text(encoding="utf-8")
        (out / LICENCE).write_text(licence.replace("VERSION", runtime.version), encoding="utf-8", newline="\n")
        return [f"open it: FOLDER/{PAGE}, by a double click or from any web server"]

    def page(self, model: Model, runtime: WebRuntime) -> str:
        """The page as HTML.

        Raises: MissingExtraError; ParameterError and DataError for ``data``.
        """
        from onnxlearn.export.web.description import page_document

        script, style = _joined(_PAGE_SCRIPTS), (TEMPLATES / "style.css").read_text(encoding="utf-8")
        n_rows = model.metadata["training"].get("n_rows")
        trained = "" if n_rows is None else f", trained on {n_rows:,} rows"
        named = ", ".join(model.schema.target.names)
        packed = {"model": model.to_bytes(), "runtime": runtime.script.encode(), "wasm": runtime.wasm}
        page: str = _template().render(
            title=self.title or f"Predict {named}",
            description=self.description or f"A model of {model.schema.name}{trained}.",
            policy=policy(script, style),
            about=_about(model),
            document=_marked(in_script(page_document(model, data=self.data))),
            script=_marked(script),
            style=_marked(style),
            worker=_marked(_joined(_WORKER_SCRIPTS)),
            runtime_version=runtime.version,
            **{name: _marked(pack(content)) for name, content in packed.items()},
        )
        return page


def pack(content: bytes) -> str:
    """Bytes as text that browsers can unpack: gzip, then base64. The same bytes give the same text."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")


def policy(script: str, style: str) -> str:
    """What a browser allows the page: its own script and style, and no connection to anywhere.

    >>> policy("", "").split("; ")[0]
    "default-src 'none'"
    """
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    rules = {
        "default-src": "'none'",
        # Compiling the runtime's WebAssembly; beside the page in a worker, which is made of the page's own text.
        "script-src": f"'sha256-{hashes[0]}' 'wasm-unsafe-eval'",
        "worker-src": "blob:",
        "style-src": f"'sha256-{hashes[1]}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def in_script(document: Any) -> str:
    r"""JSON for a script element, which nothing in it ends.

    >>> print(in_script({"a": "</script><!--"}))
    {"a":"\u003c/script\u003e\u003c!--"}
    """
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _joined(names: tuple[str, ...]) -> str:
    texts = [(TEMPLATES / name).read_text(encoding="utf-8") for name in names]
    return '"use strict";\n\n' + "\n".join(texts)


def _template() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError.of("jinja2", "export", "writing a page") from error
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("index.html.jinja")


def _marked(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _about(model: Model) -> list[tuple[str, list[str]]]:
    from onnxlearn.card import card_sections

    sections = card_sections(model.inspect())
    return [(name.capitalize(), sections[name]) for name in _ABOUT if sections[name]]


def _require_columns(model: Model) -> None:
    if "inputs" in model.metadata:
        raise ParameterError(
            "a page gives each column by itself, this file was exported with other inputs: use the file it was made of"
        )
