"""What every request goes through, whatever it asks for: its body within limits, its answer as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

JSON = b"application/json"

# A head takes no longer than this to come in, and has no more bytes.
HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 65_536

# A client that takes nothing of its answer for so long is left.
UNREAD_SECONDS = 20.0


class HttpError(Exception):
    """A request that is answered with a status and one line."""

    def __init__(self, status: int, text: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.headers = tuple(headers)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response: its body whole."""

    body: bytes
    status: int = 200
    type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send, *, with_body: bool = True) -> None:
        """Send it; without its body for HEAD."""
        headers = [(b"content-type", self.type), (b"content-length", str(len(self.body)).encode()), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body if with_body else b""})


class ClientGone(Exception):  # noqa: N818 - nobody is there to be told
    """The client has closed the connection before its request was complete."""


async def read_body(scope: Scope, receive: Receive, max_bytes: int, seconds: float) -> bytes:
    """The body of a request.

    Raises: HttpError where it is larger (413), comes in too slowly (408) or is compressed (415); ClientGone.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > max_bytes:
            raise _too_large(max_bytes)
        if name == b"content-encoding" and value.lower() != b"identity":
            raise HttpError(415, f"content-encoding {value.decode('latin-1')!r} is not taken; send the body as it is")
    try:
        async with asyncio.timeout(seconds or None):
            return await _received(receive, max_bytes)
    except TimeoutError:
        raise HttpError(408, f"the body did not come in within {seconds:g} seconds", [(b"connection", b"close")]) from None


async def _received(receive: Receive, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(max_bytes: int) -> HttpError:
    # What is still to come is not read: the connection ends here.
    text = f"the body is larger than {max_bytes} bytes; send the rows in several requests, or start the server with --max-bytes"
    return HttpError(413, text, [(b"connection", b"close")])


class PatientProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP, which by itself waits for ever, for a head or for an answer's reader, and takes a head of any length."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _wrong = "this is no HTTP/1.1"

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A connection begins, and the time for its first request."""
        super().connection_made(transport)
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection ends."""
        self._stop()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """More of an answer waits to be read than the system keeps."""
        super().pause_writing()
        self._unread = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._deadline is None:
            self._start()

    def on_url(self, url: bytes) -> None:
        """Some of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stop()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What cannot be read is answered as everything that is refused: as JSON."""
        del msg
        body = json.dumps({"error": self._wrong}).encode()
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {JSON.decode()}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + body)
        self.transport.close()

    def _start(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()

    def _count(self, n_bytes: int) -> None:
        self._head_bytes += n_bytes
        if self._head_bytes > MAX_HEAD_BYTES:
            self._wrong = f"the head of a request has more than {MAX_HEAD_BYTES} bytes"
            # Raised inside the parser, which uvicorn answers with 400.
            raise ValueError(self._wrong)
