"""Cutting texts into words: the same in the graph, by StringSplit, and in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onnxlearn.errors import ParameterError

if TYPE_CHECKING:
    # Settings and tasks know words and need no onnx.
    from onnxlearn.graph.builder import GraphBuilder, Value

Array = np.ndarray[Any, np.dtype[Any]]

# Behind the end of a text, for a word that is not known, and of the first one that is.
PADDING_ID, UNKNOWN_ID, FIRST_WORD_ID = 0, 1, 2

CUTS = '\n\r\t\u00a0<>…“”—;()/"!?:.,'
"""Characters that end a word, besides the space: what is frequent stands last, as each cut costs by the pieces before it."""


class Words(NamedTuple):
    """Words in the graph, ``[M]`` each: the words of all texts one after the other, the text and the place in it of each."""

    words: Value
    rows: Value
    places: Value


@dataclass(frozen=True)
class Splitter:
    r"""Cuts a text at spaces and at each of the characters ``cuts``; at most ``length`` words are kept, from the first.

    The texts are cut at one character after the other, at the space last, and no cut goes beyond ``length`` pieces, so that a
    text of any length takes bounded memory (at worst 40 ``length``² bytes); but ``length`` of these characters in a row end
    what is read. Nothing is lower-cased, as no standard operator can.

    Raises: ParameterError where ``length`` is below 1, or ``cuts`` has a space, a null character or one of them twice.

    >>> Splitter(length=3).words("Not  good,\nnot at all!")
    ['Not', 'good', 'not']
    """

    length: int = 256
    cuts: str = CUTS

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ParameterError(f"length is the number of words that are kept, at least 1, not {self.length}")
        if wrong := set(self.cuts) & {" ", "\0"}:
            raise ParameterError(
                f"cuts must not have {min(wrong)!r}: texts are cut at spaces anyway, and at null characters never"
            )
        if len(set(self.cuts)) < len(self.cuts):
            raise ParameterError(f"cuts has a character twice: {self.cuts!r}")

    def words(self, text: str) -> list[str]:
        """The words of one text, as the graph finds them."""
        pieces = [text]
        for cut in self.cuts:
            parts = (part for piece in pieces for part in piece.split(cut, self.length)[: self.length])
            pieces = [part for part in parts if part][: self.length]
        return [word for piece in pieces for word in piece.split(" ") if word][: self.length]

    def emit(self, g: GraphBuilder, texts: Value) -> Words:
        """Add the cuts of texts, STRING ``[N, 1]``: a few nodes a character."""
        found = Words(g.op("Squeeze", texts, g.const(ints(1))), _counted(g, _n_rows(g, texts)), texts)
        for cut in (*self.cuts, None):
            found = self._emit_cut(g, found, cut, _n_rows(g, texts))
        return found

    def _emit_cut(self, g: GraphBuilder, found: Words, cut: str | None, n_rows: Value) -> Words:
        # Without a delimiter runs of spaces count as one; ONNX Runtime takes the space alone for that, no other white space.
        delimiter = {} if cut is None else {"delimiter": cut}
        pieces, _ = g.ops("StringSplit", found.words, n_outputs=2, maxsplit=self.length, **delimiter)
        full = g.op("Not", g.op("Equal", pieces, g.const(np.array([""], object))))
        # What is left behind the last cut is dropped.
        full = g.op("Slice", full, g.const(ints(0)), g.const(ints(self.length)), g.const(ints(1)))
        at = g.op("NonZero", full)
        rows = g.op("Gather", found.rows, g.op("Gather", at, g.const(np.int64(0)), axis=0))
        places = _places(g, rows, n_rows)
        kept = g.op("Less", places, g.const(np.int64(self.length)))
        at = g.op("Transpose", g.op("Compress", at, kept, axis=1), perm=[1, 0])
        return Words(g.op("GatherND", pieces, at), g.op("Compress", rows, kept, axis=0), g.op("Compress", places, kept, axis=0))


def ints(*values: int) -> Array:
    """INT64 ``[n]``."""
    return np.array(values, np.int64)


def to_grid(g: GraphBuilder, values: Value, found: Words, texts: Value, length: int) -> Value:
    """INT64 ``[N, length]``: a value a word, INT64 ``[M]``, at its text and place; 0 behind the last one."""
    shape = g.op("Concat", _n_rows(g, texts), g.const(ints(length)), axis=0)
    one = g.const(ints(1))
    at = g.op("Concat", g.op("Unsqueeze", found.rows, one), g.op("Unsqueeze", found.places, one), axis=1)
    return g.op("ScatterND", zeros(g, shape, np.int64), at, values)


def zeros(g: GraphBuilder, shape: Value, dtype: type[np.generic]) -> Value:
    """Zeros of a shape, INT64 ``[rank]``."""
    return g.op("Expand", g.const(np.zeros(1, dtype)), shape)


def _n_rows(g: GraphBuilder, texts: Value) -> Value:
    return g.op("Shape", texts, start=0, end=1)


def _counted(g: GraphBuilder, n: Value) -> Value:
    """0, 1, .. below ``n``."""
    ones = g.op("Expand", g.const(ints(1)), n)
    return g.op("CumSum", ones, g.const(np.int64(0)), exclusive=1)


def _places(g: GraphBuilder, rows: Value, n_rows: Value) -> Value:
    """For pieces ordered by text how many of the same text stand before each, INT64 ``[M]``."""
    ones = g.op("Expand", g.const(ints(1)), g.op("Shape", rows))
    counts = g.op("ScatterElements", zeros(g, n_rows, np.int64), rows, ones, axis=0, reduction="add")
    starts = g.op("CumSum", counts, g.const(np.int64(0)), exclusive=1)
    return g.op("Sub", _counted(g, g.op("Shape", rows)), g.op("Gather", starts, rows))
