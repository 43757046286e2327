"""The settings of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnxlearn.params import param
from onnxlearn.schema import Column, ColumnTensor
from onnxlearn.text.vectors import VectorFile
from onnxlearn.text.words import FIRST_WORD_ID


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """How texts enter the network.

    A text is cut into words at spaces and punctuation. Words that enough training rows have are known, in lower case, in
    capitals, with a capital first, and as training rows spelled them; all others are one and the same unknown word. ``ids``:
    the words in their order, as ids that the network looks up (0 behind the last one, 1 for an unknown word), then those of
    pairs. ``tfidf``: how often each word and pair occurs, times its inverse frequency, of length 1, as scikit-learn's
    ``TfidfVectorizer`` has it: a float32 number a row for each of ``text_max_words`` and ``text_pairs``. All widths follow from
    these settings alone.
    """

    text_form: Literal["ids", "tfidf"] = param(
        "ids", "how texts enter: the ids of their words in order, or how much each known word counts", on="texts"
    )
    text_length: int = param(256, "words of a text that are read, from the first", low=1, high=4096, on="texts")
    text_max_words: int = param(10_000, "most words that are known, those in most rows", low=1, high=1_000_000, on="texts")
    text_min_rows: int = param(2, "training rows that have to have a word for it to be known", low=1, on="texts")
    text_pairs: int = param(
        0, "ids that pairs of neighbouring known words are hashed to (0: pairs do not enter)", low=0, high=1_000_000, on="texts"
    )
    text_sublinear: bool = param(False, "1 + ln(count) instead of the count", when={"text_form": "tfidf"}, on="texts")
    text_vectors: VectorFile | None = param(
        None, "a text file of word vectors, of GloVe or word2vec, that embeddings of words begin with",
        when={"text_form": "ids"}, on="texts",
    )  # fmt: skip


def plan_texts(column: Column, config: TextConfig) -> ColumnTensor:
    """What enters of a column of texts, whatever rows there are.

    >>> review = Column(name="review", kind="text", dtype="str")
    >>> plan_texts(review, TextConfig(text_length=64, text_pairs=500)).shape
    (127,)
    >>> plan_texts(review, TextConfig(text_form="tfidf")).shape
    (10000,)
    """
    name, n_ids = f"text_{column.name}", FIRST_WORD_ID + config.text_max_words + config.text_pairs
    if config.text_form == "tfidf":
        return ColumnTensor(name=name, column=column.name, dtype="float32", shape=(n_ids - FIRST_WORD_ID,))
    length = 2 * config.text_length - 1 if config.text_pairs else config.text_length
    return ColumnTensor(
        name=name, column=column.name, dtype="int64", shape=(length,), n_ids=n_ids,
        d_vectors=config.text_vectors.d if config.text_vectors else 0,
    )  # fmt: skip
