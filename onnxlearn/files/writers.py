"""Writing a table batch by batch: CSV, TSV, JSON lines, Parquet, Feather and Arrow, by the file's suffix."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import DataError, MissingExtraError, OutputError, did_you_mean

Columns: TypeAlias = Mapping[str, NDArray[Any] | Sequence[object]]
Write: TypeAlias = Callable[[Columns], None]

GROUP_ROWS, GROUP_CELLS = 131_072, 2_000_000
"""About how many rows a group of a Parquet or Arrow file has, and at most how many cells."""

DELIMITERS = {"csv": ",", "tsv": "\t"}
JSON_SUFFIXES = ("jsonl", "ndjson")
ARROW_SUFFIXES = ("parquet", "feather", "arrow")
SUFFIXES = (*DELIMITERS, *JSON_SUFFIXES, *ARROW_SUFFIXES)


@contextlib.contextmanager
def open_writer(path: Path, names: Sequence[str], *, suffix: str) -> Iterator[Write]:
    """Write a table with these columns to ``path``, in the format of ``suffix`` (:func:`output_suffix`).

    Gives a function that takes the columns of the next rows. Column types of Parquet and Feather are those of the first
    rows, so it has to be called at least once.

    Raises: MissingExtraError where Parquet or Feather is asked for and pyarrow is not installed.
    """
    kind = suffix.removesuffix(".gz")
    if kind in ARROW_SUFFIXES:
        with _arrow_writer(path, kind) as write:
            yield write
        return
    with _text_file(path, packed=suffix.endswith(".gz")) as file:
        yield _delimited_writer(file, names, DELIMITERS[kind]) if kind in DELIMITERS else _json_writer(file, names)


def write_table(path: Path, columns: Columns, *, suffix: str) -> None:
    """Write a whole table, as :func:`open_writer` does. Raises: MissingExtraError."""
    with open_writer(path, list(columns), suffix=suffix) as write:
        write(columns)


def writable_suffix(path: str | Path) -> str:
    """:func:`output_suffix`, for which all that writes it is installed. Raises: OutputError, MissingExtraError."""
    suffix = output_suffix(path)
    if suffix in ARROW_SUFFIXES:
        _require_pyarrow(suffix)
    return suffix


def output_suffix(path: str | Path) -> str:
    """The format of an output file by its name, e.g. ``csv`` or ``jsonl.gz``; standard output (``-``) is ``csv``.

    Raises: OutputError for another suffix.

    >>> output_suffix("out/p.csv.gz"), output_suffix("-")
    ('csv.gz', 'csv')
    """
    if str(path) == "-":
        return "csv"
    name = Path(path).name.lower()
    packed = name.endswith(".gz")
    suffix = Path(name.removesuffix(".gz")).suffix.removeprefix(".")
    if suffix in SUFFIXES and not (packed and suffix in ARROW_SUFFIXES):
        return f"{suffix}.gz" if packed else suffix
    known = ", ".join(f".{known}" for known in SUFFIXES)
    raise OutputError(
        f"cannot tell the format of {str(path)!r} by its suffix: give one of {known} (text ones also with .gz)."
        + did_you_mean(suffix, SUFFIXES)
    )


def texts(values: NDArray[Any] | Sequence[object]) -> list[str]:
    """Each value as the text of a CSV cell; numbers in the fewest digits that read back as the same number.

    >>> texts(np.array([0.1, 2], np.float32)), texts([None, True, "a"])
    (['0.1', '2.0'], ['', 'True', 'a'])
    """
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        # Python's float is a double: its shortest text would spell out the digits that float32 does not have.
        return list(values.astype(str).tolist())
    cells = values.tolist() if isinstance(values, np.ndarray) else values
    return [cell if isinstance(cell, str) else _text(cell) for cell in cells]


def _text(value: object) -> str:
    if isinstance(value, bytes):
        raise OutputError("CSV holds no bytes, such as those of images: write Parquet (.parquet), or leave the column out")
    if value is None or value != value:
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def json_texts(values: NDArray[Any] | Sequence[object], name: str) -> list[str]:
    """Each value as JSON text; a missing one is ``null``."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return texts(values)
    cells = values.tolist() if isinstance(values, np.ndarray) else values
    return [_json_text(cell, name) for cell in cells]


def _json_text(value: object, name: str) -> str:
    if isinstance(value, float) and math.isinf(value):
        raise DataError(f"column {name!r} has an infinite number, which JSON cannot hold: write .csv or .parquet instead")
    if value is None or value != value:
        return "null"
    return json.dumps(value if isinstance(value, str | int | float | bool | list | dict) else _text(value), ensure_ascii=False)


@contextlib.contextmanager
def _text_file(path: Path, *, packed: bool) -> Iterator[IO[str]]:
    with contextlib.ExitStack() as stack:
        file: Any = stack.enter_context(path.open("wb"))
        if packed:
            # No name and no time in its header: the same rows give the same bytes.
            file = stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0))
        yield stack.enter_context(io.TextIOWrapper(file, encoding="utf-8", newline=""))


def _delimited_writer(file: IO[str], names: Sequence[str], delimiter: str) -> Write:
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)

    def write(columns: Columns) -> None:
        writer.writerows(zip(*(texts(columns[name]) for name in names), strict=True))

    return write


def _json_writer(file: IO[str], names: Sequence[str]) -> Write:
    keys = (json.dumps(name, ensure_ascii=False).replace("%", "%%") for name in names)
    line = "{" + ", ".join(f"{key}: %s" for key in keys) + "}\n"

    def write(columns: Columns) -> None:
        cells = (json_texts(columns[name], name) for name in names)
        file.writelines(line % row for row in zip(*cells, strict=True))

    return write


def _require_pyarrow(kind: str) -> None:
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of("pyarrow", "files", f"writing .{kind} files") from error


@contextlib.contextmanager
def _arrow_writer(path: Path, kind: str) -> Iterator[Write]:
    _require_pyarrow(kind)
    with contextlib.ExitStack() as stack:
        groups = _Groups(path, kind, stack)
        yield groups.add
        groups.write()


class _Groups:
    """Rows of a Parquet or Arrow file, written in groups: each costs its readers, and its place in the file."""

    def __init__(self, path: Path, kind: str, stack: contextlib.ExitStack) -> None:
        self._path, self._kind, self._stack = path, kind, stack
        self._writer: Any = None
        self._types: dict[str, Any] = {}
        self._waiting: list[Any] = []

    def add(self, columns: Columns) -> None:
        import pyarrow as pa

        table = pa.table(
            {name: _arrow_array(name, values, self._types.get(name), self._kind) for name, values in columns.items()}
        )
        self._types = {field.name: field.type for field in table.schema}
        self._waiting.append(table)
        if sum(each.num_rows for each in self._waiting) >= min(GROUP_ROWS, GROUP_CELLS // max(1, table.num_columns)):
            self.write()

    def write(self) -> None:
        """What is waiting."""
        import pyarrow as pa
        from pyarrow import ipc, parquet

        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting = []
        if self._writer is None:
            open_file = parquet.ParquetWriter if self._kind == "parquet" else ipc.new_file
            self._writer = self._stack.enter_context(open_file(str(self._path), table.schema))
        self._writer.write_table(table.combine_chunks())


def _arrow_array(name: str, values: NDArray[Any] | Sequence[object], type_: Any, kind: str) -> Any:
    import pyarrow as pa

    try:
        array = pa.array(np.ascontiguousarray(values) if isinstance(values, np.ndarray) else values, type=type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"column {name!r} mixes types, which .{kind} cannot hold: write .csv or .jsonl ({error})") from error
    # Rows without a value tell no type; text can hold whatever comes later.
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array
