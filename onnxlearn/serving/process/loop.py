"""An event loop for processes that share connections evenly.

Each process has a place: one of the sockets on the server's address, among which the system spreads connections. What waits on
the socket of another for longer than that one needs to take it, because it has died or is busy, is taken all the same. (Of one
socket for all, a process that has nothing to do takes everything that comes at once, and the others have nothing.)
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

# What a connection waits before a process takes it whose it is not.
_OTHERS_SECONDS = 0.02
# Without a free file descriptor there is nothing to do but to wait for one.
_FULL_SECONDS = 0.5


class FairLoop(uvloop.Loop):
    """Uvloop's, with a place among the processes."""

    _places: Path
    _place: Any = None
    _n_listeners = 0

    def share(self, places: Path) -> None:
        """The folder where processes have their places."""
        self._places = places

    async def create_server(self, protocol_factory: Callable[[], Any], *where: Any, sock: Any = None, **options: Any) -> Any:
        """Serve on a socket that listens already, or as uvloop does."""
        if sock is None:
            return await super().create_server(protocol_factory, *where, **options)
        # The sockets come in the same order in all processes.
        self._n_listeners += 1
        return Listener(self, protocol_factory, sock, str(self._n_listeners))

    def takes_place(self, name: str) -> bool:
        """Whether this process has none and the one of this name was free, as that of a process that has died is."""
        if self._place is not None:
            return False
        place = (self._places / name).open("wb")
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            place.close()
            return False
        self._place = place
        return True


class Listener:
    """One of the sockets in one of the processes."""

    def __init__(self, loop: FairLoop, protocol_factory: Callable[[], Any], listening: socket.socket, name: str) -> None:
        self._loop = loop
        self._factory = protocol_factory
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        listening.settimeout(0)
        self.sockets = (listening,)
        self._name = name
        self._own = loop.takes_place(name)
        self._watch()

    def close(self) -> None:
        """Take no more connections."""
        self._closed = True
        self._loop.remove_reader(self.sockets[0])

    async def wait_closed(self) -> None:
        """Until it is so: at once."""

    def _watch(self) -> None:
        if not self._closed:
            self._loop.add_reader(self.sockets[0], self._come)

    def _come(self) -> None:
        if self._own:
            self._accept()
        else:
            self._later(_OTHERS_SECONDS)

    def _later(self, seconds: float) -> None:
        self._loop.remove_reader(self.sockets[0])
        self._loop.call_later(seconds, self._late)

    def _late(self) -> None:
        if not self._closed:
            self._own = self._own or self._loop.takes_place(self._name)
            self._watch()
            self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self.sockets[0].accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            # Whose it is was quicker, or the client is gone.
            return
        except OSError:
            self._later(_FULL_SECONDS)
            return
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
