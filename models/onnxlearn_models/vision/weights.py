"""Weights of others, which a backbone begins with."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onnxlearn.errors import DataError, ParameterError, did_you_mean, listing
from onnxlearn.named import reason
from onnxlearn_models.training.checkpoint import read_safetensors
from onnxlearn_models.training.start import StartWeights, is_like

TORCH_FILES = (".pth", ".pt", ".bin", ".tar")
# What files of trainings call the weights among other things that they hold; averaged ones first.
_INSIDE = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")


def read_weights(what: Any) -> StartWeights:
    """Tensors by name: of a ``.safetensors`` file, a file of torch, a training folder, a network or its state dict.

    Files of torch are opened with ``weights_only=True``, which runs no code of theirs.

    Raises: ParameterError, DataError.
    """
    if isinstance(what, str | Path) and Path(what).suffix in TORCH_FILES and not _is_safetensors(Path(what)):
        return StartWeights(_read_torch(Path(what)), repr(str(what)))
    if isinstance(what, str | Path) and Path(what).suffix in TORCH_FILES:
        return StartWeights(read_safetensors(Path(what))[0], repr(str(what)))
    if isinstance(what, str) and not Path(what).exists() and (hint := did_you_mean(what, ["pretrained"])):
        raise ParameterError(f"weights: there is no file {what!r}.{hint}")
    if isinstance(what, str | Path) and Path(what).is_file() and Path(what).suffix != ".safetensors":
        raise ParameterError(
            f"weights are read from .safetensors files and files of torch ({listing(TORCH_FILES)}), not {str(what)!r}"
        )
    return StartWeights.of(what, "weights")


def _is_safetensors(path: Path) -> bool:
    """Whatever it is called: eight bytes with the length of a JSON object, which follows."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _read_torch(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ParameterError(f"weights: there is no file {str(path)!r}")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # What torch says of such files is how to run their code.
        why = "it is damaged, or holds code" if isinstance(error, pickle.UnpicklingError) else reason(error)
        raise DataError(
            f"weights: {str(path)!r} cannot be read as tensors alone ({why}): where you trust it, open it yourself and give "
            "the state dict"
        ) from error
    found = found if isinstance(found, Mapping) else {}
    inside = next((found[name] for name in _INSIDE if isinstance(found.get(name), Mapping)), found)
    tensors = {str(name): each for name, each in inside.items() if isinstance(each, Tensor)}
    if not tensors:
        raise DataError(f"weights: {str(path)!r} holds no tensors by name, as a state dict does")
    return tensors


@torch.no_grad()
def load_weights(net: nn.Module, weights: StartWeights, *, removed: Collection[str] = ()) -> str:
    """Set what can be set, and say what began otherwise; empty where all did as given.

    ``removed``: names of the classifier that was taken away. Prefixes such as ``module.`` and ``backbone.`` are cut off: those
    without which most names agree.

    >>> net = nn.Linear(2, 1)
    >>> load_weights(net, StartWeights({"module.weight": torch.ones(1, 2), "module.fc.weight": torch.ones(1)}, "a file"))
    "1 of 2 tensors began with those of a file; with their own: 'bias' (not given); not used: 'fc.weight'"
    >>> net.weight.tolist()
    [[1.0, 1.0]]

    Raises: ParameterError where nothing fits, and for values that are not finite.
    """
    # How many batches a norm has seen says nothing of it.
    wanted = {name: tensor for name, tensor in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    prefix = _prefix(weights.tensors, wanted)
    given = {name.removeprefix(prefix): tensor for name, tensor in weights.tensors.items() if name.startswith(prefix)}
    fits = {name: given[name] for name, tensor in wanted.items() if name in given and is_like(given[name], tensor)}
    if not fits:
        raise ParameterError(
            f"weights: nothing of {weights.source} has the name and the shape of a part of the backbone, which has "
            f"{listing(wanted, 6)}; {weights.source} has {listing(weights.tensors, 6)}"
        )
    if odd := next((name for name, tensor in fits.items() if not torch.isfinite(tensor).all()), None):
        raise ParameterError(f"weights: {odd!r} of {weights.source} has values that are not finite: nothing can begin with it")
    for name, tensor in fits.items():
        wanted[name].copy_(tensor)
    own = [f"{name!r} ({_why(given.get(name), tensor)})" for name, tensor in wanted.items() if name not in fits]
    idle = [repr(name) for name in given if name not in net.state_dict() and name not in removed]
    if not own and not idle:
        return ""
    parts = [f"{len(fits)} of {len(wanted)} tensors began with those of {weights.source}"]
    parts += [f"with their own: {_some(own)}"] if own else []
    parts += [f"not used: {_some(idle)}"] if idle else []
    return "; ".join(parts)


def _prefix(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What stands before names, so that most agree; the shortest of equals."""
    candidates = {""} | {name[: i + 1] for name in given for i, letter in enumerate(name) if letter == "."}

    def n_fitting(prefix: str) -> int:
        return sum(f"{prefix}{name}" in given and given[f"{prefix}{name}"].shape == wanted[name].shape for name in wanted)

    return max(sorted(candidates, key=len), key=n_fitting)


def _why(given: Tensor | None, wanted: Tensor) -> str:
    if given is None:
        return "not given"
    if given.shape == wanted.shape:
        return f"given as {given.dtype}, which is no {wanted.dtype}"
    return f"given as {list(given.shape)}, it is {list(wanted.shape)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
