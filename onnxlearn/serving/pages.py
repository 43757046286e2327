"""The page that shows the OpenAPI document: Swagger UI, from files that are installed, none from elsewhere."""

from __future__ import annotations

import functools
from importlib import resources
# The package carries Swagger UI's files for FastAPI's documentation without a network.
_PACKAGE = "fastapi_offline"
_TYPES = {
    "swagger-ui-bundle.js": b"text/javascript; charset=utf-8",
    "swagger-ui.css": b"text/css; charset=utf-8",
    "favicon.png": b"image/png",
}


def docs_page() -> bytes:
    """The page at ``/docs``."""
    from fastapi.openapi.docs import get_swagger_ui_html

    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="onnxlearn serve",
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon.png",
    )
    return bytes(page.body)


@functools.cache
def asset(name: str) -> tuple[bytes, bytes] | None:
    """A file of the page and its media type; ``None`` where there is none of that name."""
    if name not in _TYPES:
        return None
    return resources.files(_PACKAGE).joinpath("static", name).read_bytes(), _TYPES[name]
