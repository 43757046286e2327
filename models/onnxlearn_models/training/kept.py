"""A trained network in one file: its weights, and what its training came to. Nothing else is needed beside what was prepared.

It is a safetensors file. The entry ``onnxlearn`` of its metadata is a JSON document with the rest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onnxlearn.errors import DataError
from onnxlearn.files.outputs import atomic_path
from onnxlearn_models.training.checkpoint import KEY, read_safetensors, tensors_digest
from onnxlearn_models.training.extra_state import extra_states, load_extra_states
from onnxlearn_models.training.history import Epoch, TrainResult

FORMAT_VERSION = 1
_RESULT = ("batch_size", "lr", "best_epoch", "score_name", "stopped", "why", "notes")


def write_network(path: Path, module: nn.Module, result: TrainResult) -> None:
    """Keep a network whose training is over, before anything is made of it for the file. Raises: OutputError."""
    from safetensors.torch import save

    extra = extra_states(module)
    tensors = {name: tensor.detach().cpu().clone() for name, tensor in _tensors(module, extra).items()}
    document = {
        "format_version": FORMAT_VERSION,
        "result": {name: getattr(result, name) for name in _RESULT},
        "history": [dataclasses.asdict(epoch) for epoch in result.epochs],
        "extra": {name: value for name, value in extra.items() if not isinstance(value, Tensor)},
        "sha256": tensors_digest(tensors),
    }
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, {KEY: json.dumps(document, ensure_ascii=False, sort_keys=True)}))


@torch.no_grad()
def read_network(path: Path, module: nn.Module) -> TrainResult:
    """Give a module the weights that were kept; what its training came to. Raises: DataError where the file is damaged."""
    tensors, metadata = read_safetensors(path)
    try:
        document = json.loads(metadata[KEY])
        if document["sha256"] != tensors_digest(tensors):
            raise ValueError("its tensors are not those that were written")
        for name, tensor in _tensors(module, {}).items():
            tensor.copy_(tensors[name])
        extra = {name.removeprefix("extra:"): value for name, value in tensors.items() if name.startswith("extra:")}
        load_extra_states(module, {**document["extra"], **extra})
        result = TrainResult(**document["result"], epochs=[Epoch(**epoch) for epoch in document["history"]])
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise DataError(
            f"{str(path)!r} is damaged or of another network ({error}): delete it to train this one anew"
        ) from error
    module.eval()
    return result


def _tensors(module: nn.Module, extra: Mapping[str, Any]) -> dict[str, Tensor]:
    kept = {f"extra:{name}": value for name, value in extra.items() if isinstance(value, Tensor)}
    return {**dict(module.named_parameters()), **dict(module.named_buffers()), **kept}
