"""Weights that a training begins with: fine-tuning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onnxlearn.errors import DataError, ParameterError, listing
from onnxlearn.experiments.store import read_json
from onnxlearn.model import Model
from onnxlearn.params import to_json
from onnxlearn.schema import Schema
from onnxlearn_models.layers.words import WordEmbedding
from onnxlearn_models.training.checkpoint import DOCUMENT, KEY, read_checkpoint, read_safetensors, tensors_digest

# Where a network of the user's own stands in ours; its weights are known by the names that they have in theirs.
_PREFIXES = ("", "network.")


class StartWarning(UserWarning):
    """Not all weights of a network begin with those that were given."""


@dataclass(frozen=True, eq=False, repr=False)
class StartWeights:
    """Tensors by name; ``source`` is what messages call them, ``schema`` that of the task of their training, if known."""

    tensors: dict[str, Tensor]
    source: str
    schema: dict[str, Any] | None = None

    @classmethod
    def of(cls, what: Any, called: str = "start_from") -> StartWeights:
        """Read the weights of a training folder, a ``.safetensors`` file, a network or its state dict.

        ``called``: the parameter that has it, for messages.

        Raises: ParameterError for anything else, DataError for files that cannot be read.

        >>> StartWeights.of(nn.Linear(2, 1))
        weights(2 tensors of a Linear)
        """
        if isinstance(what, StartWeights):
            return what
        if isinstance(what, str | Path):
            file = _file(Path(what), called)
            return cls(_read(file, called), repr(str(what)), _schema_beside(file))
        if isinstance(what, nn.Module):
            return cls(_tensors(what.state_dict()), f"a {type(what).__qualname__}")
        if isinstance(what, Mapping):
            return cls(_tensors(what), "a state dict")
        if isinstance(what, Model):
            raise ParameterError(_OF_ONNX.format(called, "a Model"))
        raise ParameterError(
            f"{called} takes a training folder, a .safetensors file, a network or its state dict, not a value of type "
            f"{type(what).__qualname__}"
        )

    @property
    def digest(self) -> str:
        """SHA-256 of names, types, shapes and values."""
        return tensors_digest(self.tensors)

    def fitting(self, module: nn.Module) -> dict[str, Tensor]:
        """What the network's parameters and buffers can be set to, by their names. Raises: ParameterError where none can."""
        wanted, parameters = _tensors(module.state_dict()), dict(module.named_parameters())
        found: dict[str, Tensor] = {}
        for prefix in _PREFIXES:
            given = {f"{prefix}{name}": tensor for name, tensor in self.tensors.items()}
            fits = {name: given[name] for name, tensor in wanted.items() if name in given and is_like(given[name], tensor)}
            found = max(found, fits, key=len)
        if odd := next((name for name, tensor in found.items() if not torch.isfinite(tensor).all()), None):
            raise ParameterError(
                f"start_from: {odd!r} of {self.source} has values that are not finite: nothing can begin with it"
            )
        if not parameters.keys() & found.keys():
            raise ParameterError(
                f"start_from: no weights of {self.source} have the name and the shape of any of the network, which has "
                f"{_shapes(wanted)}; {self.source} has {_shapes(self.tensors)}"
            )
        return found

    def notes(self, module: nn.Module, schema: Schema) -> list[str]:
        """What there is to say of a network for a task that begins with them. Raises: ParameterError where it cannot."""
        told = (self._left_out(module), self._other_columns(schema.to_dict()), self._other_words(module))
        return [note for note in told if note]

    def _left_out(self, module: nn.Module) -> str:
        """Which parameters of the network begin with weights of their own and why."""
        found = self.fitting(module)
        own = {name: parameter for name, parameter in module.named_parameters() if name not in found}
        if not own:
            return ""
        told = [f"{name!r} {self._why_not(name, parameter)}" for name, parameter in own.items()]
        rest = f" and {len(told) - 8} more" if len(told) > 8 else ""
        n = len(found.keys() & dict(module.named_parameters()).keys())
        return f"{n} of {n + len(own)} parameters began with given weights, these with their own: {'; '.join(told[:8])}{rest}"

    def _other_columns(self, schema: dict[str, Any]) -> str:
        """Shapes do not tell what a column, a level or a class means."""
        if self.schema is None:
            return ""
        then, now = (
            {**{each["name"]: each for each in columns["features"]}, "the target": columns["target"]}
            for columns in (self.schema, schema)
        )
        if list(then) != list(now):
            return f"the given weights were trained for the columns {listing(list(then)[:-1])}, in this order"
        other = [name for name in now if then[name] != now[name]]
        return f"the given weights were trained for other kinds, levels or classes of {listing(other)}" if other else ""

    def _other_words(self, module: nn.Module) -> str:
        """How many words of texts begin with vectors of their own."""
        told = []
        for name, part, words in _named_words(module, self.fitting(module)):
            known = int((part.words != 0).sum())
            if not (words != 0).any():
                told.append(f"nothing tells which words the vectors of {name!r} were trained for")
            elif (n := part.moved(part.table.weight, words)[1]) < known:
                told.append(f"{n} of the {known} words of {part.ingress!r} have given vectors, the others begin with their own")
        return "; ".join(told)

    def origin(self, schema: Schema) -> list[str]:
        """What a reader of a model's scores has to know: rows that were set aside here may have been trained on there."""
        if self.schema is None or self.schema["name"] != schema.name:
            return []
        seen = f"the given weights were trained on a task of the same name, {schema.name!r}"
        return [f"{seen}: scores of rows that they have seen say nothing about new ones"]

    @torch.no_grad()
    def load(self, module: nn.Module) -> None:
        """Set what can be set."""
        targets, found = module.state_dict(), self.fitting(module)
        for name, part, words in _named_words(module, found):
            if (words != 0).any() and f"{name}.table.weight" in found:
                found[f"{name}.table.weight"], _ = part.moved(found[f"{name}.table.weight"], words)
            found[f"{name}.words"] = part.words
        for name, tensor in found.items():
            targets[name].copy_(tensor)

    def _why_not(self, name: str, parameter: Tensor) -> str:
        given = next((self.tensors[name.removeprefix(p)] for p in _PREFIXES if name.removeprefix(p) in self.tensors), None)
        if given is None:
            return "was not given"
        return f"was given as {list(given.shape)} and is {list(parameter.shape)}"

    def __repr__(self) -> str:
        return f"weights({len(self.tensors)} tensors of {self.source})"


@to_json.register
def _(weights: StartWeights) -> dict[str, Any]:
    return {"n_tensors": len(weights.tensors), "sha256": weights.digest}


_OF_ONNX = (
    "{0} cannot take {1}: export folds and fuses weights, which no longer have the names and shapes of the network's; "
    "keep the training by fit(..., folder=...) and give that folder"
)


def _file(path: Path, called: str) -> Path:
    """The file of a training folder's only network, or the file itself. Raises: ParameterError."""
    if path.is_dir():
        files = sorted(path.glob("network-*.safetensors"), key=lambda file: int(re.sub(r"\D", "", file.stem)))
        if len(files) != 1:
            has = f"holds {len(files)} networks: give one, such as {str(files[0])!r}" if files else "holds no trained network"
            raise ParameterError(f"{called}: the folder {str(path)!r} {has}")
        return files[0]
    if path.suffix == ".onnx":
        raise ParameterError(_OF_ONNX.format(called, repr(str(path))))
    if not path.is_file():
        raise ParameterError(f"{called}: there is no training folder and no file {str(path)!r}")
    if path.suffix != ".safetensors":
        raise ParameterError(
            f"{called} reads .safetensors files, not {path.name!r}; of a file of torch give the state dict: "
            f"{called}=torch.load({path.name!r}, weights_only=True)"
        )
    return path


def _read(path: Path, called: str) -> dict[str, Tensor]:
    """The best weights of a training, or all tensors of a file of somebody else. Raises: DataError."""
    try:
        tensors, metadata = read_safetensors(path)
    except DataError as error:
        why = f"{called}: {str(path)!r} is no whole safetensors file ({error.__cause__}): get it anew, or convert what it is"
        raise DataError(why) from error
    return _tensors(read_checkpoint(path).weights() if KEY in metadata else tensors)


def _schema_beside(path: Path) -> dict[str, Any] | None:
    """What the training folder of this file says of its task."""
    document = path.with_name(DOCUMENT)
    return read_json(document)["schema"] if document.is_file() else None


def _tensors(given: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, copied to the CPU; arrays of numpy are tensors too."""
    arrays = {name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in given.items()}
    return {name: tensor.detach().cpu().clone() for name, tensor in arrays.items() if isinstance(tensor, Tensor)}


def _named_words(module: nn.Module, found: Mapping[str, Tensor]) -> Iterator[tuple[str, WordEmbedding, Tensor]]:
    """Embeddings of words by name, each with the words of the given vectors, zeros where these are not known."""
    for name, part in module.named_modules():
        if isinstance(part, WordEmbedding) and f"{name}.table.weight" in found:
            yield name, part, found.get(f"{name}.words", torch.zeros_like(part.words))


def is_like(given: Tensor, wanted: Tensor) -> bool:
    """Whether one can stand for the other: of one shape, and both of whole numbers or neither."""
    return given.shape == wanted.shape and given.is_floating_point() == wanted.is_floating_point()


def _shapes(tensors: Mapping[str, Tensor]) -> str:
    return listing((f"{name} {list(tensor.shape)}" for name, tensor in tensors.items()), 6)
