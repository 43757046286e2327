"""An event loop whose processes share connections evenly: each takes one at a time.

Loops by themselves take all connections that wait, so that one process gets all of a burst and the others have nothing to do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvloop

# Without a free file descriptor there is nothing to do but to wait for one.
_PAUSE_SECONDS = 0.5


class FairLoop(uvloop.Loop):
    """Uvloop's, but for sockets that processes share."""

    async def create_server(self, protocol_factory: Callable[[], Any], *places: Any, sock: Any = None, **options: Any) -> Any:
        """Serve on a socket that listens already, or as uvloop does."""
        if sock is None:
            return await super().create_server(protocol_factory, *places, **options)
        return Listener(self, protocol_factory, sock)


class Listener:
    """What serves on a shared socket."""

    def __init__(self, loop: FairLoop, protocol_factory: Callable[[], Any], listening: socket.socket) -> None:
        self._loop = loop
        self._factory = protocol_factory
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        listening.setblocking(False)
        self.sockets = (listening,)
        self._resume()

    def close(self) -> None:
        """Take no more connections."""
        self._closed = True
        self._loop.remove_reader(self.sockets[0])

    async def wait_closed(self) -> None:
        """Until it is so: at once."""

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self.sockets[0], self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self.sockets[0].accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            # Another process was quicker, or the client is gone.
            return
        except OSError:
            self._loop.remove_reader(self.sockets[0])
            self._loop.call_later(_PAUSE_SECONDS, self._resume)
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
