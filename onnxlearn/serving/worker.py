"""One process of the server: what uvicorn starts in it, and what begins and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxlearn.serving.settings import ServeSettings

UNLOADED = "unloaded"
KEPT = "kept"
PLACES = "places"


@dataclass
class Worker:
    """The ASGI application that a process is given; it becomes one when the process starts.

    ``folder``: what the processes share: which models were unloaded, the models as they were loaded last, who has which place,
    and metrics.
    """

    settings: ServeSettings
    folder: Path
    _app: Any = field(default=None, init=False, repr=False)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request, or begin and end."""
        if scope["type"] == "http":
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        async with contextlib.AsyncExitStack() as stack:
            await receive()
            try:
                await self._begin(stack)
            except Exception as error:
                logging.getLogger("onnxlearn.serving").exception("the server cannot start")
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _begin(self, stack: contextlib.AsyncExitStack) -> None:
        # Here, in the process that serves: the one that starts it needs none of this.
        from onnxlearn.serving.process.app import App
        from onnxlearn.serving.process.rpc import start_rpc
        from onnxlearn.serving.process.runtime import Models

        logging.getLogger("mlserver").setLevel(logging.WARNING)
        models = Models(self.settings, self.folder / UNLOADED, self.folder / KEPT)
        await models.start()
        self._app = App(self.settings, models)
        asyncio.get_running_loop().share(self.folder / PLACES)  # type: ignore[attr-defined]
        rpc = await start_rpc(self.settings, models, self._app.plane)
        stack.push_async_callback(rpc.stop, self.settings.grace_seconds)
        watcher = asyncio.create_task(models.watch())
        stack.callback(watcher.cancel)
        # What is there now stays: to look it through again and again would hold up requests by tens of milliseconds.
        gc.collect()
        gc.freeze()
