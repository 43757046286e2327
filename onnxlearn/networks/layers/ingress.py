"""Where columns enter the network."""

from __future__ import annotations

from dataclasses import dataclass

from onnxlearn.networks.layer import Layer, ShapeError
from onnxlearn.networks.tensor import Tensor
from onnxlearn.params import param
from onnxlearn.schema import ColumnTensor, Ingress


@dataclass(frozen=True)
class Entry(Layer):
    """A tensor that preprocessing makes. One that is ``optional`` drops out where a task has no columns for it."""

    takes = (0, 1)

    optional: bool = param(
        False, "drop out, with what reads it alone, where the task has no such columns",
        inert="it lets a graph fit tasks that it else would refuse",
    )  # fmt: skip

    def entering(self, ingress: Ingress) -> Tensor | None:
        """What enters here, as wide as the ingress says; ``None`` where it drops out.

        Raises: ShapeError where nothing enters by one that is not optional.
        """
        found = self.of(ingress)
        if found is None and not self.optional:
            entry = f"ingress.{self.kind}"
            whose = f"{ingress.name!r} gives" if ingress.name else "the task has"
            raise ShapeError(f"{whose} no columns for {entry}(): leave it out, or let it be {entry}(optional=True)")
        return found

    def of(self, ingress: Ingress) -> Tensor | None:
        """What enters here; ``None`` where nothing does."""
        raise NotImplementedError

    def enters(self, ingress: Ingress) -> str:
        """The name of the tensor that enters here."""
        return ingress.prefix + self.kind


@dataclass(frozen=True)
class Num(Entry):
    """Numbers, parts of dates, flags, and one-hot columns: ``[N, n_num]``."""

    kind = "num"

    def of(self, ingress: Ingress) -> Tensor | None:
        """Numbers."""
        return Tensor((None, ingress.n_num)) if ingress.n_num else None


@dataclass(frozen=True)
class Cat(Entry):
    """Codes of categories: int64 ``[N, n_cat]``."""

    kind = "cat"

    def of(self, ingress: Ingress) -> Tensor | None:
        """Codes."""
        return Tensor((None, ingress.n_cat), "int64", self.enters(ingress)) if ingress.n_cat else None


@dataclass(frozen=True)
class ColumnEntry(Entry):
    """What preprocessing makes of one column by itself."""

    column: str | None = param(None, "the column; None: the only one of its kind")

    def of(self, ingress: Ingress) -> Tensor | None:
        """The column's tensor."""
        found = self.found(ingress)
        return None if found is None else Tensor((None, *found.shape), found.dtype, self.enters(ingress) if found.n_ids else "")

    def enters(self, ingress: Ingress) -> str:
        """``image_<column>`` or ``text_<column>``."""
        found = self.found(ingress)
        assert found is not None, "an absent ingress has no node"
        return ingress.prefix + found.name

    def found(self, ingress: Ingress) -> ColumnTensor | None:
        """The column that enters here. Raises: ShapeError where that is not one."""
        there = [each for each in ingress.columns if each.kind == self.kind]
        if self.column is not None:
            there = [each for each in there if each.column == self.column]
        if len(there) > 1:
            names = ", ".join(repr(each.column) for each in there)
            raise ShapeError(f"the task has {len(there)} columns of this kind, {names}: name one, ingress.{self.kind}(column)")
        return there[0] if there else None


@dataclass(frozen=True)
class Image(ColumnEntry):
    """A column of images: ``[N, C, h, w]``, or the features ``[N, d]`` that a frozen network makes of them."""

    kind = "image"


@dataclass(frozen=True)
class Text(ColumnEntry):
    """A column of texts: ids of words, int64 ``[N, L]``, or how often each word comes, ``[N, V]``."""

    kind = "text"
