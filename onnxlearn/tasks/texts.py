"""Columns of texts in a task: what there is to say of those without words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxlearn.text.words import CUTS
from onnxlearn.wire.values import Place, is_missing


def text_notes(name: str, values: Sequence[Any], where: Place) -> list[str]:
    """What there is to say of texts that are missing, empty, or without a word."""
    empty = [row for row, text in enumerate(values) if is_missing(text)]
    bare = [row for row, text in enumerate(values) if isinstance(text, str) and text and not text.strip(f" {CUTS}")]
    notes = []
    if empty:
        notes.append(f"column {name!r}: {_counted(empty, where)} missing or empty, which is the same")
    if bare:
        notes.append(f"column {name!r}: {_counted(bare, where)} without words: punctuation and white space alone")
    return notes


def _counted(rows: Sequence[int], where: Place) -> str:
    if len(rows) == 1:
        return f"the text of {where(rows[0])} is"
    return f"{len(rows)} texts, the first that of {where(rows[0])}, are"
