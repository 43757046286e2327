"""The models of one process: loaded, looked after and run, on MLServer's registry."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlserver.errors import MLServerError, ModelNotFound
from mlserver.handlers import ModelRepositoryHandlers
from mlserver.registry import MultiModelRegistry
from mlserver.repository import ModelRepository
from mlserver.settings import ModelParameters, ModelSettings
from mlserver.types import InferenceRequest, InferenceResponse

from onnxlearn.errors import ModelFileError, OnnxlearnError, did_you_mean, listing
from onnxlearn.files.outputs import atomic_path
from onnxlearn.hosts.mlserver import OnnxlearnModel
from onnxlearn.model import Model
from onnxlearn.serving.batching import Batcher, Outputs, Overloaded
from onnxlearn.serving.process.answers import RowWriter
from onnxlearn.serving.process.metrics import BATCH_ROWS, LOADS
from onnxlearn.serving.rows import RowReader
from onnxlearn.serving.settings import ServeSettings
from onnxlearn.serving.sources import Source, find_sources
from onnxlearn.wire.feeds import Feeds
from onnxlearn.wire.tensors import array_tensor

PLATFORM = "onnxruntime_onnx"
_NEVER = (0, 0, 0)
_LOG = logging.getLogger("onnxlearn.serving")


class ServerError(MLServerError):
    """An answer of MLServer's with a status of ours."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text, status)


class ServedModel(OnnxlearnModel):
    """A model whose requests share runs, whichever protocol they came by."""

    model: Model
    reader: RowReader
    writer: RowWriter
    batcher: Batcher

    async def load(self) -> bool:
        """Open the file, in a thread: others are being answered."""
        await asyncio.to_thread(asyncio.run, super().load())
        self.model = self._model
        self.reader = RowReader(self.model.schema)
        self.writer = RowWriter(self.model.schema.target, self.model.outputs)
        batch_rows = BATCH_ROWS.labels(model=self.name, version=self.version)
        self.batcher = Batcher(self.model.predict_feeds, on_run=batch_rows.observe, **self.settings.parameters.batching)
        # The first run of a session takes many times as long as the others.
        await asyncio.to_thread(self.model.predict_feeds, _one_row(self.model))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a request of the Open Inference Protocol."""
        feeds, wanted = self.read(payload)
        outputs = await self.outputs_of(feeds)
        return self.answer(payload, [array_tensor(name, outputs[name]) for name in wanted])

    async def outputs_of(self, feeds: Feeds) -> Outputs:
        """All outputs of a request's rows. Raises: ServerError (503) where too many rows wait."""
        try:
            return await self.batcher.predict(feeds)
        except Overloaded as error:
            raise ServerError(str(error), 503) from error


class Models(ModelRepository, ModelRepositoryHandlers):
    """The models that the sources tell, kept as the files are now; MLServer's repository and what its requests do to it.

    ``unloaded``: a folder that all processes share, with an empty file of the name of each model that was unloaded.
    ``kept``: another one, with each model as it was loaded last, for a process that begins when the file is broken.
    """

    def __init__(self, settings: ServeSettings, unloaded: Path, kept: Path) -> None:
        self.registry = MultiModelRegistry()
        ModelRepositoryHandlers.__init__(self, repository=self, model_registry=self.registry)
        self._settings = settings
        self._unloaded = unloaded
        self._kept = kept
        self._stamps: dict[tuple[str, str], tuple[int, int, int]] = {}
        # Files that could not be loaded, as they were then, and why: each is told once.
        self._refused: dict[tuple[str, str], tuple[tuple[int, int, int], str]] = {}
        self._lock = asyncio.Lock()

    async def get(self, name: str, version: str | None = None) -> ServedModel:
        """A model by its name and version, by default the latest. Raises: ServerError, 404 or 503 while it is being loaded."""
        model = await self.found(name, version)
        if not model.ready:
            raise ServerError(f"model {name!r} is being loaded; come again later", 503)
        return model

    async def found(self, name: str, version: str | None = None) -> ServedModel:
        """The same, ready or not. Raises: ServerError (404), which says what there is."""
        try:
            model: ServedModel = await self.registry.get_model(name, version)
        except ModelNotFound as error:
            there = await self.all()
            versions = [other.version for other in there if other.name == name]
            if versions:
                raise ServerError(f"model {name!r} has no version {version!r}; it has {listing(versions)}", 404) from error
            names = list(dict.fromkeys(other.name for other in there))
            text = f"there is no model {name[:100]!r}; there is {listing(names)}.{did_you_mean(name, names)}"
            raise ServerError(text if names else "no model is loaded", 404) from error
        return model

    async def all(self) -> Sequence[ServedModel]:
        """All that are loaded, by name and version."""
        return sorted(await self.registry.get_models(), key=lambda model: (model.name, int(model.version)))

    async def start(self) -> None:
        """Load what there is; where the sources cannot be found, what the processes before this one had."""
        try:
            await self.sync()
        except ModelFileError as error:
            kept = {(source.name, source.version): source for source in self._kept_sources()}
            if not kept:
                raise
            _LOG.warning("%s; its process begins with the models as they were loaded last", error)
            for key, source in kept.items():
                await self._load(source, source.path, kept)
                self._stamps[key] = _NEVER

    async def sync(self) -> None:
        """Load what is new or changed, unload what is gone; a file that cannot be read leaves what is loaded as it is."""
        async with self._lock:
            sources = {(source.name, source.version): source for source in self._wanted()}
            for key, source in sources.items():
                await self._refresh(key, source, sources)
            for name, version in [key for key in self._stamps if key not in sources]:
                await self.registry.unload_version(name, version)
                del self._stamps[name, version]

    async def watch(self) -> None:
        """Keep up with the files."""
        told = ""
        while self._settings.check_seconds:
            await asyncio.sleep(self._settings.check_seconds)
            try:
                await self.sync()
                told = ""
            except OnnxlearnError as error:
                if told != (told := str(error)):
                    _LOG.warning("%s; the models stay as they are", told)

    async def list(self) -> Sequence[Any]:
        """Settings of all models that there are files of. Raises: ServerError (503) where the sources cannot be found."""
        try:
            sources = await asyncio.to_thread(find_sources, self._settings.sources)
        except ModelFileError as error:
            raise ServerError(f"{error}; the models stay as they are", 503) from error
        return [self._model_settings(source, source.path, sources) for source in sources]

    async def find(self, name: str) -> Sequence[Any]:
        """Those of one name."""
        return [settings for settings in await self.list() if settings.name == name]

    async def load(self, name: str) -> bool:
        """Load a model that was unloaded, or whose file has changed, here now and in the other processes soon.

        Raises: ServerError, 404 where there is no such model and 400 where a file of it cannot be loaded.
        """
        if not await self.find(name):
            raise ServerError(f"there is no model {name!r}", 404)
        (self._unloaded / name).unlink(missing_ok=True)
        self._refused.clear()
        await self.sync()
        refused = [f"version {version}: {text}" for (of, version), (_, text) in self._refused.items() if of == name]
        if refused:
            raise ServerError(refused[0], 400)
        await self.found(name)
        return True

    async def unload(self, name: str) -> bool:
        """Unload all versions of a model, here now and in the other processes soon."""
        await self.found(name)
        (self._unloaded / name).touch()
        await self.sync()
        return True

    def _wanted(self) -> Sequence[Source]:
        return self._not_unloaded(find_sources(self._settings.sources))

    def _kept_sources(self) -> Sequence[Source]:
        files = [(path.stem.rpartition("."), path) for path in self._kept.glob("*.onnx")]
        return self._not_unloaded([Source(name=name, version=version, path=path) for (name, _, version), path in files])

    def _not_unloaded(self, sources: Sequence[Source]) -> Sequence[Source]:
        unloaded = {path.name for path in self._unloaded.iterdir()}
        return [source for source in sources if source.name not in unloaded]

    async def _refresh(self, key: tuple[str, str], source: Source, sources: dict[tuple[str, str], Source]) -> None:
        stamp = source.stamp()
        if stamp in (self._stamps.get(key), self._refused.get(key, (None,))[0]):
            return
        try:
            await self._load(source, source.path, sources)
        except OnnxlearnError as error:
            self._refused[key] = stamp, str(error)
            LOADS.labels(model=source.name, outcome="failed").inc()
            _LOG.warning("version %s of %r: %s", source.version, source.name, error)
            kept = self._kept_file(source)
            if key not in self._stamps and kept.exists():
                await self._load(source, kept, sources)
                self._stamps[key] = _NEVER
        else:
            self._stamps[key] = stamp
            self._refused.pop(key, None)
            LOADS.labels(model=source.name, outcome="done").inc()
            served = await self.registry.get_model(source.name, source.version)
            await asyncio.to_thread(_write, self._kept_file(source), served.model.to_bytes())

    async def _load(self, source: Source, path: Path, sources: dict[tuple[str, str], Source]) -> None:
        await self.registry.load(self._model_settings(source, path, list(sources.values())))

    def _kept_file(self, source: Source) -> Path:
        return self._kept / f"{source.name}.{source.version}.onnx"

    def _model_settings(self, source: Source, path: Path, sources: Sequence[Source]) -> Any:
        settings = self._settings
        batching = {"max_rows": settings.batch_rows, "max_waiting": settings.max_rows_waiting, "wait": settings.batch_wait}
        parameters = ModelParameters(
            _env_file=None,
            uri=str(path),
            version=source.version,
            extra={"provider": settings.provider, "n_threads": settings.n_threads},
            batching=batching,
        )
        return ModelSettings(
            _env_file=None,
            name=source.name,
            implementation=ServedModel,
            platform=PLATFORM,
            versions=[other.version for other in sources if other.name == source.name],
            parameters=parameters,
        )


def _one_row(model: Model) -> Feeds:
    from onnxlearn.graph.hostile import hostile_feeds

    feeds: Feeds = hostile_feeds(model.schema, 1)
    return feeds


def _write(path: Path, data: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
