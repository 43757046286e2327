"""Layers of weights over the last dimension, and look-ups of codes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onnxlearn.networks.layer import Layer, ShapeError, need_dims, need_numbers, need_size
from onnxlearn.networks.tensor import Tensor
from onnxlearn.params import REQUIRED, param
from onnxlearn.schema import Schema


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
    """A layer that looks codes up: its tables are as long as the columns have codes."""

    def tensor(self, inputs: tuple[Tensor, ...], schema: Schema) -> Tensor:
        """Refuse what is not the ingress of codes."""
        (x,) = inputs
        if x.dtype != "int64" or schema.ingress is None or x.shape[1:] != (schema.ingress.n_cat,):
            raise ShapeError("it needs codes: put it behind ingress.cat()")
        return self.found(x, schema.ingress.cardinalities)

    def found(self, x: Tensor, cardinalities: tuple[int, ...]) -> Tensor:
        """What comes out for columns of so many codes."""
        raise NotImplementedError


@dataclass(frozen=True)
class Embedding(OfCodes):
    """Entity embeddings (Guo and Berkhahn 2016): a vector for each code of each column, side by side."""

    kind = "embedding"

    d_out: int | None = param(None, "width of a column's vectors (None: 1.6 n^0.56 for n codes)", low=1)
    d_max: int = param(600, "largest width where it follows from the codes", low=1, when={"d_out": None})
    std: float = param(0.1, "standard deviation of the initial values", low=0, low_open=True)

    def found(self, x: Tensor, cardinalities: tuple[int, ...]) -> Tensor:
        """``[N, sum of widths]``."""
        return Tensor((x.shape[0], sum(self.widths(cardinalities))))

    def widths(self, cardinalities: tuple[int, ...]) -> list[int]:
        """The width of each column's vectors."""
        return [self.d_out or embedding_width(n, self.d_max) for n in cardinalities]


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
