"""A page as a reader finds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "path", "use", "rect"}


@dataclass
class Table:
    """A table as a reader finds it: headings, and of each row the texts and the full values."""

    caption: str = ""
    head: list[str] = field(default_factory=list)
    rows: list[list[tuple[str, list[tuple[str, str]]]]] = field(default_factory=list)

    def values(self, heading: str) -> list[list[str]]:
        return [[value for _, value in row[self.head.index(heading)][1]] for row in self.rows]


class Page(HTMLParser):
    """Tables by the heading of their section, and everything that names or loads something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[Table]] = {}
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self._heading, self._open, self._value = "", [], None
        self.feed(text)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action", "data")]
        assert not [name for name in attributes if name.startswith("on")]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.setdefault(self._heading, []).append(Table())
        elif tag == "tr" and "tbody" in self._open:
            self._table.rows.append([])
        elif tag in ("td", "th") and "tbody" in self._open:
            self._table.rows[-1].append(("", []))
        elif tag == "th":
            self._table.head.append("")
        elif tag == "data":
            self._value = attributes["value"]
        elif tag == "h2":
            self._heading = ""

    def handle_startendtag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag
        if tag == "data":
            self._value = None

    def handle_data(self, data):
        self.text.append(data)
        if self._open[-1:] == ["h2"]:
            self._heading += data
        elif "caption" in self._open:
            self._table.caption += data.strip()
        elif self._value is not None:
            self._table.rows[-1][-1][1].append((data, self._value))
        elif "tbody" in self._open and self._open[-1] in ("td", "th"):
            text, values = self._table.rows[-1][-1]
            self._table.rows[-1][-1] = (text + data.strip(), values)
        elif "thead" in self._open and self._open[-1] == "th":
            self._table.head[-1] += data

    @property
    def _table(self) -> Table:
        return self.tables[self._heading][-1]

    def find(self, heading: str, caption: str) -> Table:
        return next(table for table in self.tables[heading] if table.caption.startswith(caption))
