"""Where columns enter the network."""

from __future__ import annotations

from dataclasses import dataclass

from onnxlearn.networks.layer import Layer, ShapeError
from onnxlearn.networks.tensor import Tensor
from onnxlearn.schema import Ingress, Schema


class Entry(Layer):
    """A tensor that preprocessing makes."""

    takes = (0, 0)


@dataclass(frozen=True)
class Num(Entry):
    """Numbers, parts of dates, flags, and one-hot columns: ``[N, n_num]``."""

    kind = "num"

    def tensor(self, inputs: tuple[Tensor, ...], schema: Schema) -> Tensor:
        """As wide as the schema's ingress says."""
        del inputs
        n = _ingress(schema).n_num
        if not n:
            raise ShapeError("the task has no columns that give numbers: leave ingress.num() out")
        return Tensor((None, n))


@dataclass(frozen=True)
class Cat(Entry):
    """Codes of categories: int64 ``[N, n_cat]``."""

    kind = "cat"

    def tensor(self, inputs: tuple[Tensor, ...], schema: Schema) -> Tensor:
        """As wide as the schema's ingress says."""
        del inputs
        n = _ingress(schema).n_cat
        if not n:
            raise ShapeError("the task has no categorical columns: leave ingress.cat() out")
        return Tensor((None, n), "int64")


def _ingress(schema: Schema) -> Ingress:
    assert schema.ingress is not None, "preprocessing is chosen before a network is made"
    return schema.ingress
