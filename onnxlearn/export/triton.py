"""A model repository for Triton Inference Server."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from onnxlearn.export import triton_config as config
from onnxlearn.export.served import served_name, write_json
from onnxlearn.export.target import OUT, Target
from onnxlearn.export.triton_config import Served
from onnxlearn.export.triton_repository import CONFIG, LABELS, added_to, is_repository
from onnxlearn.params import param
from onnxlearn.runtime import open_session
from onnxlearn.signature import tensors_of
from onnxlearn.wire.examples import example_feeds, request_of
from onnxlearn.wire.form import Form

if TYPE_CHECKING:
    from onnxlearn.model import Model

# Triton, which does not start with more digits than it can hold, has int64 for versions and int32 for these.
_MOST = 10**9


@dataclass(frozen=True, kw_only=True)
class Triton(Target):
    """Target ``triton``: a repository whose model batches requests and serves several versions side by side.

    ``onnxruntime`` is the backend of Triton's usual images; ``python`` runs the same file where there is only that one, by
    a ``model.py`` that needs numpy and onnxruntime. An ensemble is several models with the one to be asked before them.
    """

    meaning: ClassVar[str] = "a model repository for Triton Inference Server, with batching, versions and labels"
    is_folder: ClassVar[bool] = True

    name: str | None = param(None, "name of the model in the server (None: that of the task)")
    version: int = param(1, "number of this version, the name of its folder", low=1, high=10**18)
    # One config stands for all versions of an ensemble: an old one would run the newest parts.
    serve_versions: int = param(
        1, "how many of the newest versions in the folder are served", low=1, high=_MOST, when={"ensemble": False}
    )
    backend: Literal["onnxruntime", "python"] = param("onnxruntime", "Triton's backend that runs the file")
    ensemble: bool = param(False, "preprocessing on the CPU and the network by itself, which takes no text")
    device: Literal["cpu", "gpu"] = param("cpu", "where the model runs, or the network of an ensemble")
    instances: int = param(1, "copies of it that run side by side", low=1, high=_MOST)
    max_batch: int | None = param(
        None, "most rows of a request, and of requests together (None: the file's chunk_rows)", low=1, high=_MOST
    )
    max_delay: int = param(
        0, "microseconds that a request may wait for others; with 0 they meet while a model is busy", low=0, high=_MOST
    )

    def place(self, out: Path) -> AbstractContextManager[Path]:
        """A new folder, or a repository that gets another model or version."""
        return added_to(out, self.version, self.serve_versions) if is_repository(out) else super().place(out)

    def write(self, model: Model, out: Path) -> list[str]:
        """Write the repository; an ensemble is run and compared with the model before."""
        name = served_name(model, self.name)
        (self._write_ensemble if self.ensemble else self._write_whole)(model, name, out)
        feeds = Form.of(model.metadata).arrange(example_feeds(model.schema), model.schema)
        write_json(out / name / "request.json", request_of(feeds))
        return [
            f"serve it: tritonserver --model-repository={OUT}",
            f"ask it: curl -d @{OUT}/{name}/request.json localhost:8000/v2/models/{name}/infer",
        ]

    def _write_whole(self, model: Model, name: str, out: Path) -> None:
        self._write_model(out, _served(name, model.to_bytes()), model.to_bytes(), model)

    def _write_ensemble(self, model: Model, name: str, out: Path) -> None:
        from onnxlearn.export.parts import chain_of

        steps = []
        for part in chain_of(model):
            # A version has parts of its own: while a server loads a newer one, those of two never answer together.
            served = _served(f"{name}_{part.role}_{self.version}", part.data)
            on_cpu: dict[str, Any] = {} if part.role == "net" else {"device": "cpu", "instances": 1, "max_delay": 0}
            dataclasses.replace(self, **on_cpu)._write_model(out, served, part.data, model)
            inputs = {tensor: part.called.get(tensor, tensor) for tensor in served.inputs}
            outputs = {tensor: part.called.get(tensor, tensor) for tensor in served.outputs}
            steps.append(config.step(served.name, inputs, outputs))
        # Between the models, tensors are as clients see them.
        whole = _served(name, model.to_bytes()).seen()
        schedule = ["ensemble_scheduling {", *steps, "}"]
        self._write_config(out, whole, ['platform: "ensemble"', *schedule], model)
        # Triton wants a folder for each version, which has nothing in it here; git and object stores drop empty ones.
        version = out / name / str(self.version)
        version.mkdir()
        (version / ".gitkeep").touch()

    def _write_model(self, out: Path, served: Served, data: bytes, model: Model) -> None:
        settings = [
            f"backend: {config.quoted(self.backend)}",
            config.batching(self.max_delay),
            config.instances(self.instances, self.device),
            *([config.one_thread()] if self.backend == "onnxruntime" else []),
            config.warmup(served.inputs),
        ]
        self._write_config(out, served, settings, model)
        folder = out / served.name / str(self.version)
        folder.mkdir()
        (folder / "model.onnx").write_bytes(data)
        if self.backend == "python":
            from onnxlearn.hosts import triton

            shutil.copyfile(triton.__file__, folder / "model.py")

    def _write_config(self, out: Path, served: Served, settings: Sequence[str], model: Model) -> None:
        folder = out / served.name
        folder.mkdir()
        classes = _label_lines(model) if "probabilities" in served.outputs else []
        if classes:
            (folder / LABELS).write_text("\n".join(classes) + "\n", encoding="utf-8")
        lines = [
            *served.lines(LABELS if classes else ""),
            f"max_batch_size: {self.max_batch or model.chunk_rows}",
            config.versions(self.serve_versions),
            *settings,
        ]
        (folder / CONFIG).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _served(name: str, data: bytes) -> Served:
    session = open_session(data, "cpu")
    return Served(name=name, inputs=tensors_of(session.get_inputs()), outputs=tensors_of(session.get_outputs()))


def _label_lines(model: Model) -> list[str]:
    """The classes, one a line in the order of the probabilities; none where one of them is no line."""
    lines = [str(label) for label in model.schema.target.classes]
    return [] if any(line.splitlines() != [line] for line in lines) else lines
