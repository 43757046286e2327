"""Layers over sequences ``[N, L, d]``: recurrent ones and attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnxlearn.networks.layer import Layer, ShapeError, need_dims, need_numbers, need_size
from onnxlearn.networks.tensor import Tensor, same
from onnxlearn.params import REQUIRED, param

FORM = "[N, positions, features]"


def need_sequence(x: Tensor) -> int:
    """The features of a position. Raises: ShapeError."""
    need_numbers(x)
    need_dims(x, 3, FORM)
    return need_size(x, 2, "features")


def need_ids(x: Tensor, ids: Tensor) -> None:
    """Raise ``ShapeError`` unless these are the ids of the words that a sequence was made of."""
    if ids.dtype != "int64" or ids.n_dims != 2 or (ids.source == "cat" or ids.source.endswith("/cat")):
        raise ShapeError("the last tensor has to be the ids of the text's words, from ingress.text()")
    try:
        same([x.shape[1], ids.shape[1]])
    except ValueError as error:
        raise ShapeError(f"it needs an id for each position: {error}") from None


@dataclass(frozen=True)
class Positions(Layer):
    """A vector for each position, added to what stands there: attention itself knows no order (Vaswani et al. 2017)."""

    kind = "positions"

    learned: bool = param(True, "vectors that are trained, from N(0, 0.02^2), instead of sines and cosines")

    def shape(self, *inputs: Tensor) -> Tensor:
        """As it was."""
        (x,) = inputs
        need_sequence(x)
        need_size(x, 1, "positions")
        return x


@dataclass(frozen=True)
class _Recurrent(Layer):
    takes = (1, 2)

    d_hidden: int = param(REQUIRED, "features of the state", low=1)
    n_layers: int = param(1, "layers, each over the states of the one before", low=1)
    bidirectional: bool = param(False, "go through backwards as well")
    dropout: float = param(0.0, "share of the states dropped between layers", low=0, high=0.95)
    last: bool = param(False, "give the last state instead of all")

    def shape(self, *inputs: Tensor) -> Tensor:
        """``[N, L, d]`` to ``[N, L, d_hidden]``, twice as many where it goes both ways; of the last state without ``L``."""
        x, *ids = inputs
        need_sequence(x)
        for each in ids:
            need_ids(x, each)
        width = self.d_hidden * (2 if self.bidirectional else 1)
        return x.with_row(width) if self.last else x.with_row(x.shape[1], width)


@dataclass(frozen=True)
class Rnn(_Recurrent):
    """A state that each position changes by tanh (Elman 1990).

    With the ids of a text's words as a second tensor, it goes as far as the text, and backwards from its end.
    """

    kind = "rnn"


@dataclass(frozen=True)
class Gru(_Recurrent):
    """Gated recurrent units (Cho et al. 2014).

    With the ids of a text's words as a second tensor, it goes as far as the text, and backwards from its end.
    """

    kind = "gru"


@dataclass(frozen=True)
class Lstm(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997).

    With the ids of a text's words as a second tensor, it goes as far as the text, and backwards from its end.
    """

    kind = "lstm"


def _need_heads(d: int, n_heads: int) -> None:
    if d % n_heads:
        raise ShapeError(f"n_heads={n_heads} has to divide the features, and there are {d}")


@dataclass(frozen=True)
class MultiheadAttention(Layer):
    """Each position a mean of positions (Vaswani et al. 2017).

    Of one tensor: of its own positions; of two: of those of the second; of three: the second says where to look, the third
    what is there. With the ids of a text's words as a last tensor, what stands behind its end is not looked at.
    """

    kind = "multihead_attention"
    takes = (1, 4)

    n_heads: int = param(REQUIRED, "heads, each over a part of the features", low=1)
    dropout: float = param(0.0, "share of the weights dropped", low=0, high=0.95)
    bias: bool = param(True, "add a bias in its linear maps")
    causal: bool = param(False, "look at no later position")

    def shape(self, *inputs: Tensor) -> Tensor:
        """As the first one was."""
        d = need_sequence(inputs[0])
        _need_heads(d, self.n_heads)
        sequences = inputs
        if len(inputs) == 4 or inputs[-1].dtype == "int64":
            sequences, ids = inputs[:-1], inputs[-1]
            need_ids(sequences[-1], ids)
        for other in sequences[1:]:
            if need_sequence(other) != d:
                raise ShapeError(f"all tensors need as many features, and {other} comes behind {inputs[0]}")
        if len(sequences) == 3:
            _need_same_positions(*sequences[1:])
        if self.causal:
            for each in sequences[:2]:
                need_size(each, 1, "positions")
        return inputs[0]


def _need_same_positions(keys: Tensor, values: Tensor) -> None:
    try:
        same([keys.shape[1], values.shape[1]])
    except ValueError as error:
        raise ShapeError(f"the second and the third tensor need as many positions: {error}") from None


@dataclass(frozen=True)
class TransformerEncoderLayer(Layer):
    """Attention and two linear maps, each added to what goes in (Vaswani et al. 2017).

    With the ids of a text's words as a second tensor, what stands behind its end is not looked at.
    """

    kind = "transformer_encoder_layer"
    takes = (1, 2)

    n_heads: int = param(REQUIRED, "heads of the attention", low=1)
    d_feedforward: int = param(2048, "features between the two linear maps", low=1)
    dropout: float = param(0.1, "share dropped", low=0, high=0.95)
    activation: Literal["relu", "gelu"] = param("relu", "between the two linear maps")
    norm_first: bool = param(False, "normalize what goes into a part, not what comes out")
    causal: bool = param(False, "look at no later position")

    def shape(self, *inputs: Tensor) -> Tensor:
        """As it was."""
        x, *ids = inputs
        _need_heads(need_sequence(x), self.n_heads)
        if self.causal:
            need_size(x, 1, "positions")
        for each in ids:
            need_ids(x, each)
        return x


@dataclass(frozen=True)
class FTTransformerBlock(Layer):
    """A block of the FT-Transformer (Gorishniy et al. 2021): normalized first, with a ReGLU feed-forward part."""

    kind = "ft_transformer_block"

    n_heads: int = param(8, "heads of the attention", low=1)
    d_feedforward_factor: float = param(4 / 3, "features of the feed-forward part, as a multiple", low=0, low_open=True)
    attention_dropout: float = param(0.2, "share of the attention's weights dropped", low=0, high=0.95)
    ffn_dropout: float = param(0.1, "share of the feed-forward part dropped", low=0, high=0.95)
    residual_dropout: float = param(0.0, "share of what is added dropped", low=0, high=0.95)
    is_first: bool = param(False, "leave the first normalization out, as the paper does in the first block")

    def shape(self, *inputs: Tensor) -> Tensor:
        """As it was."""
        (x,) = inputs
        _need_heads(need_sequence(x), self.n_heads)
        return x
