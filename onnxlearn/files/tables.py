"""Files as tables: read whole for fitting, in batches for everything else, without pandas for text."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from onnxlearn.errors import TableReadError, did_you_mean, listing
from onnxlearn.files.formats import FORMATS, GZIP, TEXT_FORMATS, suffix_of
from onnxlearn.files.outputs import STDOUT, atomic_path
from onnxlearn.schema import DEFAULT_NA, Schema
from onnxlearn.wire.feeds import Feeds

if TYPE_CHECKING:
    from onnxlearn.files.columns import WholeTable

__all__ = ["Batch", "TableReader", "atomic_path", "na_cells", "open_table", "read_whole", "table_format", "table_name"]

STDIN = STDOUT
EXAMPLE_PREFIX = "example:"


class Batch(Protocol):
    """Some consecutive rows of a table."""

    def __len__(self) -> int: ...

    def feeds(self, schema: Schema) -> Feeds:
        """The rows as the model's inputs; raises as :func:`onnxlearn.wire.feeds.frame_feeds`, naming the line or row."""
        ...

    def column(self, name: str) -> Sequence[object]:
        """A column as it stands in the file: cells of a text file, Python values of the others."""
        ...

    def truth(self, schema: Schema) -> NDArray[Any] | None:
        """The truth as :func:`onnxlearn.task.target_truth` gives it; ``None`` where the target is not in the file."""
        ...


class TableReader(Protocol):
    """An open table; a context manager that closes it."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in order."""
        ...

    def batches(self, rows: int | None = None) -> Iterator[Batch]:
        """Its rows, once, at most ``rows`` at a time and no more than is good, in constant memory.

        There is always a batch: an empty one where the table has no rows. The file is closed after the last one.
        """
        ...

    def __enter__(self) -> TableReader: ...

    def __exit__(self, *exc: object) -> None: ...


def open_table(path: str | Path, format: str | None = None) -> TableReader:
    """Open a table for reading in batches.

    ``path``: a file, a folder of files with the same columns, ``-`` for standard input (``format`` says what it holds) or
    ``example:NAME``, one of :func:`onnxlearn.example_tasks`. ``format``: ``csv``, ``tsv``, ``parquet``, ``feather``, ``arrow``
    or ``jsonl``, by default what the suffix says; text also gzipped (``csv.gz``). Raises ``TableReadError`` where there is no
    such file or it is no table, ``UnknownNameError`` where there is no such example.
    """
    if str(path) != STDIN and Path(path).is_dir():
        from onnxlearn.files.folders import FolderReader

        return FolderReader(Path(path), lambda part: open_table(part, format), any_suffix=format is not None)
    resolved, compressed = table_format(path, format)
    name = "standard input" if str(path) == STDIN else str(path)
    file = _open_binary(path)
    try:
        if resolved not in TEXT_FORMATS:
            from onnxlearn.files.arrow import ArrowReader

            return ArrowReader(file, name, resolved)
        # Readers are imported when needed: text must not wait for pyarrow, nor starting up for either.
        from onnxlearn.files.text import CellReader, JsonReader, decoded

        text = decoded(file, compressed=compressed)
        return (
            JsonReader(text, name)
            if resolved == "jsonl"
            else CellReader(text, name, delimiter="\t" if resolved == "tsv" else ",")
        )
    except BaseException:
        file.close()
        raise


def read_whole(
    path: str | Path, format: str | None = None, na: Sequence[str] | None = None, *, numeric: Collection[str] = ()
) -> WholeTable:
    """Read a table whole, for fitting.

    Columns of a text file become int64, float64, booleans or text, whichever all of their cells are; digits with leading zeros
    stay text unless the column is among ``numeric``, and so do dates. ``na``: the cells that mean missing besides the empty
    one, in place of the usual spellings. Raises ``TableReadError``.
    """
    from onnxlearn.files.columns import whole_table

    if str(path) != STDIN and Path(path).is_dir():
        raise TableReadError(f"{str(path)!r} is a folder: a model is fitted to one file; name one, or join them before")
    with open_table(path, format) as reader:
        return whole_table(reader, frozenset(na_cells(na)), numeric)


def na_cells(na: Sequence[str] | None) -> tuple[str, ...]:
    """Cells of a text file that mean missing: the usual spellings, or the empty cell and those given.

    >>> na_cells(["-999"])
    ('', '-999')
    """
    return DEFAULT_NA if na is None else tuple(dict.fromkeys(["", *na]))


def table_name(path: str | Path) -> str:
    """A name for the table in a file.

    >>> table_name("data/penguins.csv.gz"), table_name("example:penguins"), table_name("-")
    ('penguins', 'penguins', 'stdin')
    """
    text = str(path)
    if text == STDIN:
        return "stdin"
    return Path(text.removeprefix(EXAMPLE_PREFIX)).name.split(".")[0] or text


def table_format(path: str | Path, format: str | None = None) -> tuple[str, bool]:
    """The format of a table by suffix or as given, and whether it is gzipped.

    >>> table_format("a.CSV.gz"), table_format("-", "feather")
    (('csv', True), ('arrow', False))
    """
    text = str(path)
    if text.startswith(EXAMPLE_PREFIX):
        return "csv", False
    if text == STDIN and format is None:
        raise TableReadError(f"standard input has no suffix to tell its format; say --format with one of {listing(FORMATS)}")
    # A format given by hand still says nothing about compression, which the suffix does.
    label = (format if format is not None else Path(text).name).lower()
    compressed = label.endswith(GZIP) or (format is not None and text.lower().endswith(GZIP))
    suffix = suffix_of(label)
    if suffix not in FORMATS or (format is None and "." not in label):
        given = f"format {format!r}" if format is not None else f"the suffix of {text!r}"
        raise TableReadError(f"{given} is none that can be read; the formats are {listing(FORMATS)} (--format names one)")
    if compressed and FORMATS[suffix] not in TEXT_FORMATS:
        raise TableReadError(f"{text!r}: only text files may be gzipped; {suffix} is compressed inside, so unpack it first")
    return FORMATS[suffix], compressed


def _open_binary(path: str | Path) -> IO[bytes]:
    text = str(path)
    if text == STDIN:
        return _open_stdin()
    if text.startswith(EXAMPLE_PREFIX):
        return _open_example(text.removeprefix(EXAMPLE_PREFIX))
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise TableReadError(f"there is no file {text!r}.{_nearest(Path(path))}") from None
    except OSError as error:
        raise TableReadError(f"cannot read {text!r}: {error.strerror}") from None


def _open_stdin() -> IO[bytes]:
    try:
        # Closing the table leaves the process's standard input open.
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except io.UnsupportedOperation:
        return sys.stdin.buffer


def _open_example(name: str) -> IO[bytes]:
    from onnxlearn.examples.records import example_info

    if example_info(name).origin == "shipped":
        return (resources.files("onnxlearn") / "data" / f"{name}.csv").open("rb")
    from onnxlearn.examples.frames import example_csv

    return io.BytesIO(example_csv(name))


def _nearest(path: Path) -> str:
    try:
        # The suffix alone makes short names alike.
        stem = path.name.partition(".")[0]
        alike = [file.name for file in path.parent.iterdir() if did_you_mean(stem, [file.name.partition(".")[0]])]
        return did_you_mean(path.name, alike)
    except OSError:
        return f" There is no folder {str(path.parent)!r} either."
