"""A layer: its settings, how many tensors it takes, and what it makes of their shapes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from onnxlearn.errors import ParameterError
from onnxlearn.networks.tensor import Tensor
from onnxlearn.params import REQUIRED, Param, check_value, list_params
from onnxlearn.schema import Schema

LAYERS: dict[str, type[Layer]] = {}
"""Every kind of layer by its name."""


class ShapeError(ValueError):
    """A layer cannot take these tensors: what it needs."""


@dataclass(frozen=True)
class Layer:
    """A kind of layer is a dataclass; its fields, made by :func:`onnxlearn.params.param`, are its settings.

    ``kind``: its name. ``takes``: how many tensors, least and most (``None``: any number).
    """

    kind: ClassVar[str]
    takes: ClassVar[tuple[int, int | None]] = (1, 1)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kind" in vars(cls):
            LAYERS[cls.kind] = cls

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) is REQUIRED:
                raise ParameterError(f"{self.kind} needs {field.name}: {field.metadata['meaning']}")
            try:
                value = check_value(type(self), field.name, getattr(self, field.name))
            except ParameterError as error:
                raise ParameterError(f"{self.kind}: {error}") from None
            object.__setattr__(self, field.name, value)

    def tensor(self, inputs: tuple[Tensor, ...], schema: Schema) -> Tensor:
        """What comes out, of what goes in; most layers only need :meth:`shape`.

        Raises: ShapeError saying what the layer needs.
        """
        del schema
        return self.shape(*inputs)

    def shape(self, *inputs: Tensor) -> Tensor:
        """What comes out, of what goes in."""
        raise NotImplementedError

    def choices(self, setting: str) -> tuple[str, ...]:
        """The values of a setting that this very layer can have; none: those that its type says."""
        del setting
        return ()

    @property
    def begins(self) -> bool:
        """Whether it can begin a graph: it reads columns of the task, or those of a step of preprocessing before it."""
        return not self.takes[0]

    @property
    def gives_columns(self) -> bool:
        """Whether columns come out of it, of which an ingress makes a tensor."""
        return False

    @property
    def settings(self) -> dict[str, Any]:
        """The values of its fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def params(cls) -> tuple[Param, ...]:
        """Each setting with its type, default, range and meaning."""
        return list_params([cls])


def need_dims(x: Tensor, n: int, form: str) -> None:
    """Raise ``ShapeError`` unless a tensor has so many dimensions; ``form`` names them."""
    if x.n_dims != n:
        raise ShapeError(f"it needs {form}")


def need_size(x: Tensor, axis: int, what: str) -> int:
    """The size along an axis, which has to be known: weights are as large. Raises: ShapeError."""
    if not -x.n_dims < axis < x.n_dims:
        raise ShapeError(f"it needs {what} along dimension {axis}")
    size = x.shape[axis]
    if size is None:
        raise ShapeError(f"it needs to know how many {what} there are, along dimension {axis}")
    return size


def row_dim(x: Tensor, dim: int) -> int:
    """A dimension of a row, counted from the front. Raises: ShapeError for the rows, or one that there is not."""
    if not -x.n_dims < dim < x.n_dims or dim == 0:
        raise ShapeError(f"dim={dim} has to be a dimension of a row, 1 to {x.n_dims - 1}, or counted from the end")
    return dim % x.n_dims


def need_numbers(x: Tensor) -> None:
    """Raise ``ShapeError`` for codes."""
    if x.dtype != "float32":
        raise ShapeError("it needs numbers, not codes: look codes up by nn.embedding first")
