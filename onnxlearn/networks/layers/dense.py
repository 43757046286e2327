"""Layers of weights over the last dimension, and look-ups of codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from onnxlearn.networks.layer import Layer, ShapeError, need_dims, need_numbers, need_size
from onnxlearn.networks.tensor import Tensor
from onnxlearn.params import REQUIRED, param
from onnxlearn.schema import ColumnTensor, Schema


@dataclass(frozen=True)
class Linear(Layer):
    """``x W + b`` over the last dimension."""

    kind = "linear"

    d_out: int = param(REQUIRED, "features that come out", low=1)
    bias: bool = param(True, "add a bias")

    def shape(self, *inputs: Tensor) -> Tensor:
        """The last dimension becomes ``d_out``."""
        (x,) = inputs
        need_numbers(x)
        need_size(x, -1, "features")
        return Tensor((*x.shape[:-1], self.d_out))


@dataclass(frozen=True)
class Head(Layer):
    """The output layer: as many features as the target needs."""

    kind = "head"

    bias: bool = param(True, "add a bias")

    def tensor(self, inputs: tuple[Tensor, ...], schema: Schema) -> Tensor:
        """``[N, n_outputs]``."""
        (x,) = inputs
        need_numbers(x)
        need_dims(x, 2, "[N, features]: put nn.flatten() or a pooling before it")
        need_size(x, -1, "features")
        return x.with_row(schema.n_outputs)


def embedding_width(n_codes: int, max_width: int = 600) -> int:
    """Width for a column of so many codes: 1.6 n^0.56, the rule of thumb of fastai.

    >>> [embedding_width(n) for n in (3, 12, 1000, 100_000)]
    [3, 6, 77, 600]
    """
    return max(1, min(max_width, round(1.6 * math.pow(n_codes, 0.56))))


class OfCodes(Layer):
    """A layer that looks codes up: its tables are as long as the columns have codes, or texts ids of words."""

    entries = "ingress.cat()"

    def tensor(self, inputs: tuple[Tensor, ...], schema: Schema) -> Tensor:
        """Refuse what is not an ingress of codes."""
        (x,) = inputs
        made = None
        if schema.ingress is not None and x.source in schema.ingress.codes:
            made = self.found(x, schema.ingress.codes[x.source])
        elif schema.ingress is not None and x.source:
            made = self.of_words(x, schema.ingress.tensors[x.source])
        if made is None:
            raise ShapeError(f"it needs codes: put it behind {self.entries}")
        return made

    def found(self, x: Tensor, cardinalities: tuple[int, ...]) -> Tensor | None:
        """What comes out for columns of so many codes; ``None`` where it takes none."""
        del x, cardinalities
        return None

    def of_words(self, x: Tensor, column: ColumnTensor) -> Tensor | None:
        """What comes out for the words of a text; ``None`` where it takes none."""
        del x, column
        return None


def word_width(column: ColumnTensor, d_out: int | None, d_max: int = 600) -> int:
    """The width of a word's vector. Raises: ShapeError where vectors that were given have another."""
    if d_out is not None and column.d_vectors not in (0, d_out):
        raise ShapeError(f"d_out={d_out}, and the vectors of text_vectors have {column.d_vectors} numbers: leave d_out out")
    return d_out or column.d_vectors or embedding_width(column.n_ids, d_max)


@dataclass(frozen=True)
class Embedding(OfCodes):
    """A vector for each code of each column, side by side (entity embeddings, Guo and Berkhahn 2016), or each word of a text.

    Behind a text's last word stand vectors of zeros. ``text_vectors`` tells what the vectors of words begin with, and their
    width where ``d_out`` does not.
    """

    kind = "embedding"
    entries = "ingress.cat() or ingress.text()"

    d_out: int | None = param(None, "width of a column's vectors (None: 1.6 n^0.56 for n codes)", low=1)
    d_max: int = param(600, "largest width where it follows from the codes", low=1, when={"d_out": None})
    std: float = param(0.1, "standard deviation of the initial values", low=0, low_open=True)

    def found(self, x: Tensor, cardinalities: tuple[int, ...]) -> Tensor:
        """``[N, sum of widths]``."""
        return Tensor((x.shape[0], sum(self.widths(cardinalities))))

    def of_words(self, x: Tensor, column: ColumnTensor) -> Tensor:
        """``[N, L, d_out]``."""
        return Tensor((*x.shape, word_width(column, self.d_out, self.d_max)))

    def widths(self, cardinalities: tuple[int, ...]) -> list[int]:
        """The width of each column's vectors."""
        return [self.d_out or embedding_width(n, self.d_max) for n in cardinalities]


@dataclass(frozen=True)
class EmbeddingBag(OfCodes):
    """The mean or the sum of the vectors of a text's words (Joulin et al. 2017, fastText); zeros for a text without words."""

    kind = "embedding_bag"
    entries = "ingress.text()"

    d_out: int | None = param(None, "width of a word's vector (None: that of text_vectors, or 1.6 n^0.56 for n ids)", low=1)
    mode: Literal["mean", "sum"] = param("mean", "what is made of the vectors")
    std: float = param(0.1, "standard deviation of the initial values", low=0, low_open=True)

    def of_words(self, x: Tensor, column: ColumnTensor) -> Tensor:
        """``[N, d_out]``."""
        return x.with_row(word_width(column, self.d_out))


@dataclass(frozen=True)
class TokenizerCateg(OfCodes):
    """A vector for each code, one below the other (Gorishniy et al. 2021, FT-Transformer)."""

    kind = "tokenizer_categ"

    d_token: int = param(REQUIRED, "width of a token", low=1)

    def found(self, x: Tensor, cardinalities: tuple[int, ...]) -> Tensor:
        """``[N, n_cat, d_token]``."""
        del cardinalities
        return Tensor((*x.shape, self.d_token))


@dataclass(frozen=True)
class TokenizerNum(Layer):
    """Each number times a vector of its column's, plus another (Gorishniy et al. 2021, FT-Transformer)."""

    kind = "tokenizer_num"

    d_token: int = param(REQUIRED, "width of a token", low=1)
    bias: bool = param(True, "add a vector for each column")

    def shape(self, *inputs: Tensor) -> Tensor:
        """``[N, n]`` to ``[N, n, d_token]``."""
        (x,) = inputs
        need_numbers(x)
        need_dims(x, 2, "[N, numbers]")
        need_size(x, 1, "numbers")
        return Tensor((*x.shape, self.d_token))


@dataclass(frozen=True)
class FTCls(Layer):
    """Puts a learned token behind the others, whose result stands for the row."""

    kind = "ft_cls"

    def shape(self, *inputs: Tensor) -> Tensor:
        """``[N, n, d]`` to ``[N, n + 1, d]``."""
        (x,) = inputs
        need_dims(x, 3, "[N, tokens, features]")
        need_size(x, 2, "features")
        return x.with_row(None if x.shape[1] is None else x.shape[1] + 1, x.shape[2])
