"""Stretches of a page."""

from __future__ import annotations

from dataclasses import dataclass

from onnxlearn.reporting.figures import Group
from onnxlearn.reporting.tables import Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """A stretch of the page with a heading: tables, words and figures; ``later`` are tables to unfold.

    ``code``: what a reader may want to copy.
    """

    anchor: str
    title: str
    tables: tuple[Table, ...] = ()
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    code: str = ""
    later: tuple[Table, ...] = ()
