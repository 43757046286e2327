"""Columns of texts in a task: what there is to say of those without words, and which columns look like texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxlearn.text.words import CUTS
from onnxlearn.wire.values import Place

# Prose, unlike names and codes: texts of several words of which hardly any comes again.
MIN_WORDS = 5
MIN_DISTINCT = 0.5
N_LOOKED_AT = 1000


def is_prose(texts: Sequence[str]) -> bool:
    """Whether texts that are not missing read like sentences: half of them differ and have several words.

    >>> is_prose(["the food was good and cheap", "we shall not come here again"]), is_prose(["New York", "Rio de Janeiro"])
    (True, False)
    """
    looked = texts[:N_LOOKED_AT]
    distinct = set(looked)
    long = [text for text in distinct if text.count(" ") >= MIN_WORDS - 1]
    return bool(looked) and len(distinct) >= MIN_DISTINCT * len(looked) and 2 * len(long) >= len(distinct)


def suggest_text(name: str) -> str:
    """How to have a column read as texts."""
    return f"if it holds texts to be read word by word, say kinds={{{name!r}: 'text'}} (--kind {name}=text)"


def text_notes(name: str, values: Sequence[Any], where: Place) -> list[str]:
    """What there is to say of texts that are empty, or without a word."""
    texts = [value if isinstance(value, str) else None for value in values]
    empty = [row for row, text in enumerate(texts) if text == ""]
    bare = [row for row, text in enumerate(texts) if text and not text.strip(f" {CUTS}")]
    notes = []
    if empty:
        notes.append(f"column {name!r}: {_counted(empty, where)} empty, which means missing")
    if bare:
        notes.append(f"column {name!r}: {_counted(bare, where)} without words: punctuation and white space alone")
    return notes


def _counted(rows: Sequence[int], where: Place) -> str:
    if len(rows) == 1:
        return f"the text of {where(rows[0])} is"
    return f"{len(rows)} texts, the first that of {where(rows[0])}, are"
