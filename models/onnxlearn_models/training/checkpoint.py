"""A checkpoint: all that a training needs to go on, in one file.

It is a safetensors file with the tensors of the state by name. The entry ``onnxlearn`` of its metadata is a JSON document with
the rest. Like every file of this house it appears whole or not at all: whenever a process is killed, there is the one before
or the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.files.outputs import atomic_path
from onnxlearn_models.training.callback import State

FORMAT_VERSION = 1
KEY = "onnxlearn"
# What stands beside the checkpoints of a training and says what is trained.
DOCUMENT = "training.json"

_PARTS = ("settings", "watching", "earlier", "places", "buffers")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a training stands at the end of an epoch.

    ``state``: of :meth:`onnxlearn_models.training.loop.Training.state`. ``settings``: those with which it went on last, and
    which may be others when it goes on again; ``earlier``: those that epochs before had, and ``until`` which. ``watching``:
    callbacks that change nothing. ``places``: where each trained parameter begins in the flat weights; ``buffers``: their names
    in order.
    """

    state: State
    settings: dict[str, Any]
    watching: list[Any] = field(default_factory=list)
    earlier: list[dict[str, Any]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    buffers: list[str] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The last epoch that is over, from 1."""
        return int(self.state["epoch"])

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are the best so far."""
        return int(self.state["callback.EarlyStopping.kept_epoch"])

    @property
    def history(self) -> list[dict[str, Any]]:
        """What each epoch came to, as the fields of :class:`onnxlearn_models.training.history.Epoch`."""
        return list(self.state["history"])

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of the best epoch by name, as the network's ``load_state_dict`` takes them."""
        flat, *buffers = (self.state[f"callback.EarlyStopping.weights.{i}"] for i in range(1 + len(self.buffers)))
        found: dict[str, Tensor] = dict(zip(self.buffers, buffers, strict=True))
        for key, last in self.state.items():
            kind, _, name = key.partition(".")
            if kind == "parameter":
                start = self.places.get(name)
                found[name] = last if start is None else flat[start : start + last.numel()].view(last.shape)
        return found

    def pack(self) -> bytes:
        """The contents of a file. Raises: ParameterError where a part of the state is neither a tensor nor plain JSON."""
        from safetensors.torch import save

        # Parts of larger tensors are copied: a file must not hold more than what is said.
        tensors = {name: value.detach().cpu().clone() for name, value in self.state.items() if isinstance(value, Tensor)}
        plain = {name: _plain(name, value) for name, value in self.state.items() if name not in tensors}
        parts = {name: getattr(self, name) for name in _PARTS}
        # The format of the file keeps no order of names.
        document = {"format_version": FORMAT_VERSION, **parts, "state": plain, "names": list(self.state)}
        document["sha256"] = tensors_digest(tensors)
        contents: bytes = save(tensors, {KEY: json.dumps(document, ensure_ascii=False, sort_keys=True)})
        return contents


@dataclass(frozen=True)
class CheckpointFile:
    """Where a training keeps its checkpoint."""

    path: Path

    def read(self) -> Checkpoint | None:
        """What was written last; ``None`` where nothing was. Raises: DataError where the file is damaged or too new."""
        return read_checkpoint(self.path) if self.path.exists() else None

    def write(self, contents: bytes) -> None:
        """Put new contents in place of the old ones. Raises: OutputError, after which the old ones are there."""
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(contents)


def read_checkpoint(path: Path) -> Checkpoint:
    """Open a file. Raises: DataError where it is none of ours, damaged or of a newer format."""
    tensors, metadata = read_safetensors(path)
    try:
        document = json.loads(metadata[KEY])
    except (KeyError, ValueError) as error:
        raise DataError(f"{str(path)!r} is no checkpoint of onnxlearn: its metadata have no {KEY!r}") from error
    if document["format_version"] > FORMAT_VERSION:
        raise DataError(f"{str(path)!r} has format {document['format_version']}, which is newer than this onnxlearn: update it")
    if document.get("sha256") != tensors_digest(tensors):
        raise DataError(
            f"{str(path)!r} is damaged: its tensors are not those that were written; delete it to train this one anew"
        )
    found = {**document["state"], **tensors}
    state = {name: found[name] for name in document["names"] if name in found}
    return Checkpoint(state=state, **{name: document[name] for name in _PARTS})


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, on the CPU."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Tensors and metadata of a file. Raises: DataError where it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            # Copies: the file may be replaced while they are in use.
            return {name: file.get_tensor(name).clone() for name in file.keys()}, file.metadata() or {}  # noqa: SIM118  no dict
    except (SafetensorError, OSError) as error:
        raise DataError(f"{str(path)!r} cannot be read ({error}): without it this network is trained anew") from error


def _plain(name: str, value: Any) -> Any:
    """The value, if JSON can tell it."""
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"a training folder keeps tensors and plain JSON, and {name!r} of the training's state is neither: {error}"
        ) from error
    return value
