"""The server of one process, as an ASGI application.

What is asked for all the time, predictions, takes a short way from MLServer's types to the model: its own endpoints spend most
of their time in the framework around them (docs/decisions/0038-serving-stands-on-mlserver.md). The rest of the Open Inference
Protocol, models and health, is answered by MLServer's application.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import orjson
from mlserver.errors import MLServerError
from mlserver.handlers import DataPlane
from mlserver.rest.app import create_app
from mlserver.settings import Settings
from mlserver.types import InferenceRequest, RepositoryIndexRequest
from pydantic import ValidationError

from onnxlearn.serving.batching import Outputs
from onnxlearn.serving.openapi import ServedInterface, openapi_document
from onnxlearn.serving.process import metrics, pages
from onnxlearn.serving.process.http import Answer, ClientGone, HttpError, Receive, Scope, Send, read_body
from onnxlearn.serving.process.rpc import require_control
from onnxlearn.serving.process.runtime import Models, ServedModel
from onnxlearn.serving.rows import RowsError, shown
from onnxlearn.serving.settings import ServeSettings
from onnxlearn.serving.sources import NAME
from onnxlearn.wire.feeds import Feeds

VERSION = version("onnxlearn")
_LOG = logging.getLogger("onnxlearn.serving")
_MODEL = rf"/(?P<name>{NAME})(?:/versions/(?P<version>[0-9]+))?"
_MOST_ERRORS = 20
# Bytes of a request that take a few milliseconds to read and to answer.
_LARGE = 100_000

Handler = Callable[[dict[str, str | None], bytes], Awaitable[Answer]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """Addresses of one kind; ``None`` leaves them to MLServer."""

    name: str
    method: str
    pattern: re.Pattern[str]
    handler: Handler | None


class App:
    """The application: routes, limits, and errors as answers."""

    def __init__(self, settings: ServeSettings, models: Models) -> None:
        self._settings = settings
        self._models = models
        # MLServer's own counters of HTTP have a label for every address that anybody asks for.
        told = Settings(
            _env_file=None, metrics_endpoint=None, gzip_enabled=False, parallel_workers=0, debug=False,
            server_name="onnxlearn", server_version=VERSION, extensions=["model_repository"] if settings.control else [],
        )  # fmt: skip
        self.plane = DataPlane(settings=told, model_registry=models.registry)
        self._inner = create_app(told, self.plane, models)
        self._routes = self._table()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        route: Route | None = None
        try:
            route, parameters = self._route(scope)
            body = await read_body(scope, receive, self._settings.max_bytes, self._settings.body_seconds)
            if route.handler is None:
                answer = await self._left_to_mlserver({**scope, "method": route.method}, body)
            else:
                answer = await route.handler(parameters, body)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - every error is answered
            answer = _refusal(error)
        await answer.send(send, with_body=scope["method"] != "HEAD")
        name = route.name if route is not None else "none"
        metrics.count(name, answer.status, time.perf_counter() - started)

    def _table(self) -> list[Route]:
        def route(name: str, method: str, pattern: str, handler: Handler | None = None) -> Route:
            return Route(name=name, method=method, pattern=re.compile(pattern), handler=handler)

        return [
            route("predict", "POST", rf"/models{_MODEL}/predict", self._predict),
            route("infer", "POST", rf"/v2/models{_MODEL}/infer", self._infer),
            route("live", "GET", r"/v2/health/live"),
            route("ready", "GET", r"/v2/health/ready"),
            route("model_ready", "GET", rf"/v2/models{_MODEL}/ready"),
            route("model", "GET", rf"/v2/models{_MODEL}"),
            route("server", "GET", r"/v2"),
            route("index", "POST", r"/v2/repository/index", self._index),
            route("control", "POST", rf"/v2/repository/models/(?P<name>{NAME})/(?P<verb>load|unload)", self._load_or_unload),
            route("metrics", "GET", r"/metrics", self._metrics),
            route("openapi", "GET", r"/openapi\.json", self._openapi),
            route("docs", "GET", r"/(?:docs|v2/docs)?", self._docs),
            route("asset", "GET", rf"/docs/(?P<name>{NAME})", self._asset),
        ]

    def _route(self, scope: Scope) -> tuple[Route, dict[str, str | None]]:
        path = scope["path"]
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        allowed = []
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match is not None:
                if route.method == method:
                    return route, match.groupdict()
                allowed.append(route.method)
        if allowed:
            text = f"{scope['method']} is not answered here; use {' or '.join(allowed)}"
            raise HttpError(405, text, [(b"allow", ", ".join(allowed).encode())])
        raise HttpError(404, f"there is nothing at {path[:200]!r}; /docs shows what there is")

    async def _predict(self, parameters: dict[str, str | None], body: bytes) -> Answer:
        """Rows as JSON objects in, predictions as JSON objects out."""
        served = await self._model(parameters)
        outputs = await served.outputs_of(await _beside(len(body), _read_rows, served, body))
        return Answer(body=await _beside(len(body), _write_rows, served, outputs))

    async def _infer(self, parameters: dict[str, str | None], body: bytes) -> Answer:
        """A request of the Open Inference Protocol, in MLServer's types."""
        served = await self._model(parameters)
        request = await _beside(len(body), InferenceRequest.model_validate_json, body)
        response = await served.predict(request)
        return Answer(body=await _beside(len(body), _json, response))

    async def _index(self, parameters: dict[str, str | None], body: bytes) -> Answer:
        """Models and their states; the body may ask for those that are ready."""
        del parameters
        found = await self._models.index(RepositoryIndexRequest.model_validate_json(body or b"{}"))
        return Answer(body=_json(found))

    async def _load_or_unload(self, parameters: dict[str, str | None], body: bytes) -> Answer:
        del body
        require_control(self._settings.control)
        name = str(parameters["name"])
        await (self._models.load(name) if parameters["verb"] == "load" else self._models.unload(name))
        return Answer(body=b"{}")

    async def _metrics(self, parameters: dict[str, str | None], body: bytes) -> Answer:
        del parameters, body
        return Answer(body=metrics.exposition(), type=metrics.CONTENT_TYPE.encode())

    async def _openapi(self, parameters: dict[str, str | None], body: bytes) -> Answer:
        del parameters, body
        interfaces = [
            ServedInterface(name=model.name, version=model.version, schema=model.model.schema, outputs=model.model.outputs)
            for model in await self._models.all()
        ]
        document = openapi_document(interfaces, version=VERSION, control=self._settings.control)
        return Answer(body=orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS))

    async def _docs(self, parameters: dict[str, str | None], body: bytes) -> Answer:
        del parameters, body
        return Answer(body=pages.docs_page(), type=b"text/html; charset=utf-8")

    async def _asset(self, parameters: dict[str, str | None], body: bytes) -> Answer:
        del body
        found = pages.asset(str(parameters["name"]))
        if found is None:
            raise HttpError(404, f"there is no file {parameters['name']!r}")
        return Answer(body=found[0], type=found[1])

    async def _model(self, parameters: dict[str, str | None]) -> ServedModel:
        return await self._models.get(str(parameters["name"]), parameters["version"])

    async def _left_to_mlserver(self, scope: Scope, body: bytes) -> Answer:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._inner(scope, receive, send)
        status = sent[0]["status"]
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(body=content or b"{}", status=status)


async def _beside(n_bytes: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """The work's result; of a large request it is done in a thread, while others are answered."""
    return work(*arguments) if n_bytes < _LARGE else await asyncio.to_thread(work, *arguments)


def _read_rows(served: ServedModel, body: bytes) -> Feeds:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HttpError(400, f"the body is no JSON: {error} (a missing value is null)") from error
    return served.reader.feeds(document)


def _write_rows(served: ServedModel, outputs: Outputs) -> bytes:
    told: bytes = orjson.dumps({"model": served.name, "version": served.version})
    return told[:-1] + b',"predictions":' + served.writer.text(outputs) + b"}"


def _json(response: Any) -> bytes:
    text: str = response.model_dump_json(exclude_none=True)
    return text.encode()


def _refusal(error: Exception) -> Answer:
    """What a client is told of an error: what it did wrong, or that it is a fault of ours, of which the log tells more."""
    if isinstance(error, RowsError):
        mistakes = [mistake.to_dict() for mistake in error.mistakes]
        return _error(422, str(error), mistakes=mistakes)
    if isinstance(error, ValidationError):
        mistakes = [
            {"field": _place(wrong["loc"]), "value": shown(wrong["input"]), "rule": wrong["msg"]}
            for wrong in error.errors(include_url=False, include_context=False)[:_MOST_ERRORS]
        ]
        first = mistakes[0]
        return _error(400, f"{first['field'] or 'the body'}: {first['rule']}", mistakes=mistakes)
    if isinstance(error, HttpError):
        return _error(error.status, str(error), error.headers)
    if isinstance(error, MLServerError):
        retry = ((b"retry-after", b"1"),) if error.status_code == 503 else ()
        return _error(error.status_code, str(error), retry)
    _LOG.error("a request failed", exc_info=error)
    return _error(500, "a fault of the server, whose log tells more")


def _error(status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = (), **more: Any) -> Answer:
    # ASCII: half a surrogate pair may stand in what the client sent.
    return Answer(body=json.dumps({"error": text, **more}).encode(), status=status, headers=headers)


def _place(location: tuple[str | int, ...]) -> str:
    """Where in a document: ``inputs[0].shape``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).removeprefix(".")
