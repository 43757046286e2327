"""A frozen network in an ONNX file that makes features of images, in front of the network that is trained."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxlearn.errors import ParameterError
from onnxlearn.guard import MAX_BYTES, problem_of
from onnxlearn.params import to_json


@dataclass(frozen=True, repr=False)
class Extractor:
    """What :func:`onnxlearn.images.extraction.extraction` puts into a graph.

    ``data``: a model of ONNX that holds its weights; ``source``: what messages call it. Two of the same bytes are equal.
    """

    data: bytes
    source: str = field(compare=False)

    @classmethod
    def of(cls, what: Any) -> Extractor:
        """Read a file, with its weights where they are in a file beside it; nothing of it is needed afterwards.

        Raises: ParameterError for anything else, and for a file that asks for more than nodes that compute.
        """
        if isinstance(what, Extractor):
            return what
        if isinstance(what, Mapping) and "sha256" in what:
            raise ParameterError(
                f"image_extractor: a recipe names its file by the digest {what['sha256']}: give the file that has it"
            )
        if not isinstance(what, str | Path):
            raise ParameterError(f"image_extractor takes a file of ONNX, not a value of type {type(what).__qualname__}")
        source = repr(str(what))
        data = _read(Path(what), source)
        if problem := problem_of(data, source=f"image_extractor {source}"):
            raise ParameterError(
                f"image_extractor {source} cannot be part of a model file: {problem.text}; export it as nodes of the standard "
                "that compute, without functions and branches"
            )
        return cls(data, source)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"extractor({self.source}, {len(self.data)} bytes)"


@to_json.register
def _(extractor: Extractor) -> dict[str, Any]:
    return {"n_bytes": len(extractor.data), "sha256": extractor.digest}


def _read(path: Path, source: str) -> bytes:
    """The file's bytes, or those of the same model with the weights of files beside it."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    if not path.is_file():
        raise ParameterError(f"image_extractor: there is no file {source}")
    if path.stat().st_size > MAX_BYTES:
        raise ParameterError(f"image_extractor {source} has {path.stat().st_size} bytes: an ONNX file has less than 2 GiB")
    data = path.read_bytes()
    try:
        model = onnx.load_from_string(data)
        outside = [tensor for tensor in model.graph.initializer if uses_external_data(tensor)]
        if not outside:
            return data
        n_bytes = sum(int(entry.value) for tensor in outside for entry in tensor.external_data if entry.key == "length")
        if len(data) + n_bytes > MAX_BYTES:
            raise ParameterError(f"image_extractor {source} has {n_bytes} bytes of weights: a model file has less than 2 GiB")
        load_external_data_for_model(model, str(path.parent))
        return bytes(model.SerializeToString())
    except ParameterError:
        raise
    except Exception as error:
        # Protobuf, the checker and files that are not there: each has errors of its own.
        told = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ParameterError(
            f"image_extractor {source} cannot be read as ONNX ({told}): give a network in a valid file"
        ) from error
