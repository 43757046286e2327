"""CSV, TSV and JSON lines, read strictly: what does not fit is an error with its line, never repaired in silence."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import json
import re
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any

from numpy.typing import NDArray

from onnxlearn.errors import DataError, TableReadError, listing
from onnxlearn.schema import Column, Schema
from onnxlearn.tasks.targets import truth_of
from onnxlearn.wire.cells import cells_array
from onnxlearn.wire.feeds import Feeds, cells_feeds, line_place, require_columns, values_feeds
from onnxlearn.wire.values import Place, values_array

# Small enough for the processor's cache: reading is twice as fast as in batches of 16,000.
MAX_BATCH_ROWS = 2_048
MAX_BATCH_CELLS = 500_000
_DELIMITER_NAMES = {",": "','", "\t": "tab", ";": "';'", "|": "'|'"}
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class _GzipFile(gzip.GzipFile):
    """One that closes the file beneath it, too."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._file = file

    def close(self) -> None:
        super().close()
        self._file.close()


def decoded(file: IO[bytes], *, compressed: bool) -> io.TextIOWrapper:
    """The text of a file: UTF-8, a byte order mark dropped, line ends as they are."""
    return io.TextIOWrapper(_GzipFile(file) if compressed else file, encoding="utf-8-sig", errors="strict", newline="")


def batch_rows(n_columns: int, rows: int | None, most: int = MAX_BATCH_ROWS) -> int:
    """How many rows to read at a time: no more than wanted, and than is good."""
    return max(1, min(rows or most, most, MAX_BATCH_CELLS // max(n_columns, 1)))


@dataclass(frozen=True)
class CellBatch:
    """Rows of a CSV or TSV file: text cells by column, and the line of each row."""

    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def feeds(self, schema: Schema) -> Feeds:
        """The rows as the model's inputs, read by the schema's types."""
        return cells_feeds(self.columns, schema, self.lines)

    def column(self, name: str) -> Sequence[str]:
        """The cells of a column as they stand."""
        require_columns([name], self.columns, needed_by="--keep")
        return self.columns[name]

    def truth(self, schema: Schema) -> NDArray[Any] | None:
        """The truth; ``None`` where the target is not in the file."""
        if any(name not in self.columns for name in schema.target.names):
            return None
        where, na = line_place(self.lines), frozenset(schema.na)
        return truth_of(lambda column: cells_array(self.columns[column.name], column, na, where), schema.target, where)


@dataclass(frozen=True)
class ValueBatch:
    """Rows of a JSON lines file: Python values by column, and the line of each row."""

    columns: Mapping[str, Sequence[object]]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def feeds(self, schema: Schema) -> Feeds:
        """The rows as the model's inputs; JSON has no durations, they are written in seconds."""
        features = tuple(
            replace(column, dtype="float64") if column.dtype == "duration" else column for column in schema.features
        )
        return values_feeds(self.columns, replace(schema, features=features), where=line_place(self.lines))

    def column(self, name: str) -> Sequence[object]:
        """The values of a column as they stand."""
        require_columns([name], self.columns, needed_by="--keep")
        return self.columns[name]

    def truth(self, schema: Schema) -> NDArray[Any] | None:
        """The truth; ``None`` where the target is not in the file."""
        if any(name not in self.columns for name in schema.target.names):
            return None
        where: Place = line_place(self.lines)

        def read(column: Column) -> NDArray[Any]:
            array: NDArray[Any] = values_array(self.columns[column.name], column, where)
            return array

        return truth_of(read, schema.target, where)


class _TextReader:
    """What the readers of text share: the file, its name and its errors."""

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._text = text
        self._name = name
        self.columns: tuple[str, ...] = ()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: object) -> None:
        self._text.close()

    def _n_lines(self) -> int:
        """Lines read so far."""
        raise NotImplementedError

    def _error(self, text: str) -> TableReadError:
        return TableReadError(f"{self._name!r}: {text}")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            # Whole lines of earlier blocks have all been read, so the rest counts from there.
            line = self._n_lines() + 1 + len(_LINE_BREAK.findall(error.object[: error.start].decode("latin-1")))
            byte = error.object[error.start]
            # Only UTF-16 begins with one of these two: the mark that tells the order of its bytes.
            encoding = "utf-16" if error.start == 0 and line == 1 and byte in (0xFE, 0xFF) else "latin1"
            raise self._error(
                f"line {line} is not UTF-8 (byte 0x{byte:02x}); save it as UTF-8, e.g. with iconv -f {encoding} -t utf-8"
            ) from None
        except csv.Error as error:
            raise self._error(f"line {self._n_lines()}: {error}; mend the quoting there") from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise self._error(f"the gzip file is damaged ({error}); fetch it again") from None

    def _check_names(self, names: Sequence[str]) -> None:
        if len(set(names)) < len(names):
            twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
            raise self._error(f"the header names {listing(twice)} more than once; rename or drop all but one")


class CellReader(_TextReader):
    """A CSV or TSV file whose first line names the columns."""

    def __init__(self, text: io.TextIOWrapper, name: str, *, delimiter: str) -> None:
        super().__init__(text, name)
        # Texts longer than the module's default of 128 kB are rare, and no mistake.
        csv.field_size_limit(sys.maxsize)
        self._delimiter = delimiter
        self._reader = csv.reader(text, delimiter=delimiter, strict=True)
        with self._explained():
            header = next(self._reader, None)
        if header is None:
            raise self._error("the file is empty; its first line has to name the columns")
        if not header:
            raise self._error("the first line is blank; it has to name the columns")
        self._check_delimiter(header)
        self._check_names(header)
        self.columns = tuple(header)

    def _n_lines(self) -> int:
        return self._reader.line_num

    def _check_delimiter(self, header: list[str]) -> None:
        if len(header) > 1:
            return
        for other in _DELIMITER_NAMES:
            if other != self._delimiter and other in header[0]:
                save = "save it with commas, and its numbers with a decimal point (1234.5)"
                way_out = {",": "say --format csv", "\t": "say --format tsv"}.get(other, save)
                raise self._error(
                    f"one column is named {header[0][:60]!r}: the fields seem to be separated by {_DELIMITER_NAMES[other]}, "
                    f"not by {_DELIMITER_NAMES[self._delimiter]}; {way_out}"
                )

    def batches(self, rows: int | None = None) -> Iterator[CellBatch]:
        """The rows in order, some at a time."""
        n_rows = batch_rows(len(self.columns), rows)
        blank: list[int] = []
        is_empty = True
        while True:
            # Whole blocks at C speed; rows are looked at one by one only where one has another length.
            start = self._reader.line_num
            with self._explained():
                read = list(itertools.islice(self._reader, n_rows))
            if not read:
                break
            lines = self._lines(read, start)
            if blank or set(map(len, read)) != {len(self.columns)}:
                read, lines = self._without_blanks(read, lines, blank)
            if read:
                is_empty = False
                yield CellBatch(dict(zip(self.columns, zip(*read, strict=True), strict=True)), lines)
        self._text.close()
        if is_empty:
            yield CellBatch(dict.fromkeys(self.columns, ()), ())

    def _lines(self, rows: list[list[str]], start: int) -> Sequence[int]:
        """The line on which each row begins: fields in quotes may go over several."""
        if self._reader.line_num - start == len(rows):
            return range(start + 1, start + 1 + len(rows))
        breaks = [sum(len(_LINE_BREAK.findall(cell)) for cell in row) for row in rows]
        return [start + 1 + row + before for row, before in enumerate(itertools.accumulate(breaks, initial=0))][: len(rows)]

    def _without_blanks(
        self, rows: list[list[str]], lines: Sequence[int], blank: list[int]
    ) -> tuple[list[list[str]], list[int]]:
        """Blank lines at the end are none of the table's; one before a row is an empty cell, or an error.

        ``blank`` holds the blank lines that are waiting to be told apart, from one batch to the next.
        """
        kept: list[list[str]] = []
        kept_lines: list[int] = []
        n_columns = len(self.columns)
        for row, line in zip(rows, lines, strict=True):
            if not row:
                blank.append(line)
                continue
            if blank and n_columns > 1:
                raise self._error(f"line {blank[0]} is blank, with rows after it; remove it")
            if len(row) != n_columns:
                raise self._error(
                    f"line {line} has {len(row)} fields, the header names {n_columns} columns; mend the line, "
                    f"or quote fields that hold {_DELIMITER_NAMES[self._delimiter]}"
                )
            kept += [[""] for _ in blank]
            kept_lines += blank
            blank.clear()
            kept.append(row)
            kept_lines.append(line)
        return kept, kept_lines


class JsonReader(_TextReader):
    """A JSON lines file: one object a line, all with the same keys."""

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        super().__init__(text, name)
        self._line = 0
        self._first = self._next_line()
        if self._first is None:
            raise self._error("the file is empty; it has to hold one JSON object a line")
        self.columns = tuple(self._parse(self._first))
        self._keys = set(self.columns)

    def _n_lines(self) -> int:
        return self._line

    def _next_line(self) -> str | None:
        with self._explained():
            line = self._text.readline()
        if not line:
            return None
        self._line += 1
        return line

    def _parse(self, line: str) -> dict[str, object]:
        try:
            record = json.loads(line, object_pairs_hook=_record)
        except DataError as error:
            raise self._error(f"line {self._line}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise self._error(f"line {self._line} is no JSON ({error}); write one object a line") from None
        if not isinstance(record, dict):
            raise self._error(f"line {self._line} holds a {type(record).__name__}; write one JSON object a line")
        return record

    def batches(self, rows: int | None = None) -> Iterator[ValueBatch]:
        """The rows in order, some at a time."""
        n_rows = batch_rows(len(self.columns), rows)
        records = self._records()
        while batch := list(itertools.islice(records, n_rows)):
            lines, values = zip(*batch, strict=True)
            yield ValueBatch({name: [record[name] for record in values] for name in self.columns}, lines)
        self._text.close()

    def _records(self) -> Iterator[tuple[int, dict[str, object]]]:
        line, blank = self._first, 0
        while line is not None:
            if not line.strip():
                blank = blank or self._line
            elif blank:
                raise self._error(f"line {blank} is blank, with rows after it; remove it")
            else:
                yield self._line, self._same_keys(self._parse(line))
            line = self._next_line()

    def _same_keys(self, record: dict[str, object]) -> dict[str, object]:
        # An absent key may be a typing error or an older writer: only null says missing.
        if record.keys() == self._keys:
            return record
        lacking = [name for name in self.columns if name not in record]
        if lacking:
            raise self._error(f"line {self._line} lacks the key {listing(lacking)} of the lines before; write null for missing")
        extra = [name for name in record if name not in self.columns]
        raise self._error(f"line {self._line} has the key {listing(extra)}, which the lines before lack; write null there")


def _record(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = [name for name in record if names.count(name) > 1]
        raise DataError(f"the key {listing(twice)} occurs more than once; keep one of them")
    return record
