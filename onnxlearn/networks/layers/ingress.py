"""Where columns enter the network."""

from __future__ import annotations

from dataclasses import dataclass

from onnxlearn.networks.layer import Layer, ShapeError
from onnxlearn.networks.tensor import Tensor
from onnxlearn.params import param
from onnxlearn.schema import Ingress, Schema


@dataclass(frozen=True)
class Entry(Layer):
    """A tensor that preprocessing makes. One that is ``optional`` drops out where a task has no columns for it."""

    takes = (0, 0)

    optional: bool = param(
        False, "drop out, with what reads it alone, where the task has no such columns",
        inert="it lets a graph fit tasks that it else would refuse",
    )  # fmt: skip

    def tensor(self, inputs: tuple[Tensor, ...], schema: Schema) -> Tensor:
        """As wide as the schema's ingress says."""
        del inputs
        assert schema.ingress is not None, "preprocessing is chosen before a network is made"
        found = self.of(schema.ingress)
        if not found.row[0]:
            entry = f"ingress.{self.kind}"
            raise ShapeError(f"the task has no columns for {entry}(): leave it out, or let it be {entry}(optional=True)")
        return found

    def is_absent(self, schema: Schema) -> bool:
        """Whether it drops out for this schema."""
        return self.optional and schema.ingress is not None and not self.of(schema.ingress).row[0]

    def of(self, ingress: Ingress) -> Tensor:
        """What enters here."""
        raise NotImplementedError


@dataclass(frozen=True)
class Num(Entry):
    """Numbers, parts of dates, flags, and one-hot columns: ``[N, n_num]``."""

    kind = "num"

    def of(self, ingress: Ingress) -> Tensor:
        """Numbers."""
        return Tensor((None, ingress.n_num))


@dataclass(frozen=True)
class Cat(Entry):
    """Codes of categories: int64 ``[N, n_cat]``."""

    kind = "cat"

    def of(self, ingress: Ingress) -> Tensor:
        """Codes."""
        return Tensor((None, ingress.n_cat), "int64")
