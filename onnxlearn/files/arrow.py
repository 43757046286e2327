"""Parquet, Feather and Arrow files, read in batches through pyarrow."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from onnxlearn.errors import DataError, MissingExtraError, TableReadError, listing
from onnxlearn.files.text import batch_rows
from onnxlearn.schema import Schema
from onnxlearn.tasks.targets import target_truth
from onnxlearn.wire.feeds import Feeds, frame_feeds, require_columns, require_features
from onnxlearn.wire.values import Place

if TYPE_CHECKING:
    import pandas as pd

# pandas stores the index of a frame so; it is no column of the table.
_INDEX = re.compile(r"__index_level_[0-9]+__")


def import_pyarrow() -> Any:
    """pyarrow, or ``MissingExtraError``."""
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtraError.of("pyarrow", "files", "reading or writing Parquet and Arrow files") from None
    return pa


def to_frame(table: Any) -> pd.DataFrame:
    """A pyarrow table or record batch as a data frame, exactly: integers and booleans with holes stay what they are."""
    import pandas as pd

    pa = import_pyarrow()
    # pandas' own conversion turns integers with holes into floats, which round beyond 2^53.
    nullable = {getattr(pa, name.lower())(): getattr(pd, f"{name}Dtype")() for name in _INTEGERS} | {
        pa.bool_(): pd.BooleanDtype()
    }
    with_holes = {field.type for field, column in zip(table.schema, table.columns, strict=True) if column.null_count}
    frame: pd.DataFrame = table.to_pandas(
        ignore_metadata=True, date_as_object=False, types_mapper=lambda held: nullable.get(held) if held in with_holes else None
    )
    return frame


MAX_BATCH_ROWS = 65_536
WHOLE_BATCH_ROWS = 1 << 20
_INTEGERS = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")


class ArrowBatch:
    """Rows of a Parquet or Arrow file; ``start`` is the position of the first one in the file."""

    def __init__(self, batch: Any, start: int) -> None:
        self._batch = batch
        self._start = start

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def _place(self) -> Place:
        return lambda row: f"row {self._start + row}"

    def _frame(self, names: Sequence[str]) -> pd.DataFrame:
        return to_frame(self._batch.select(list(names)))

    def feeds(self, schema: Schema) -> Feeds:
        """The rows as the model's inputs."""
        require_features(schema, self._batch.schema.names)
        return frame_feeds(self._frame(schema.feature_names), schema, where=self._place())

    def column(self, name: str) -> Sequence[object]:
        """The values of a column as Python objects."""
        require_columns([name], self._batch.schema.names, needed_by="--keep")
        values: list[object] = self._batch.column(name).to_pylist()
        return values

    def truth(self, schema: Schema) -> NDArray[Any] | None:
        """The truth; ``None`` where the target is not in the file."""
        names = schema.target.names
        if any(name not in self._batch.schema.names for name in names):
            return None
        return target_truth(self._frame(names), schema, where=self._place())


class ArrowTable:
    """A table in memory, or a stream of batches, of any library that speaks Arrow: Polars, pyarrow, DuckDB ...

    ``table``: has ``__arrow_c_stream__`` or ``__arrow_c_array__`` (the Arrow PyCapsule interface), or is a dataset or a
    scanner of pyarrow's. Nothing is copied before its rows are asked for.
    """

    def __init__(self, table: Any, name: str = "the table") -> None:
        self._pa = import_pyarrow()
        self._name = name
        self._open(table)
        names = [name for name in self._schema.names if not _INDEX.fullmatch(name)]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise self._error(f"the columns {listing(twice)} occur more than once; rename or drop all but one")
        self.columns = tuple(names)

    def _open(self, table: Any) -> None:
        pa = self._pa
        if hasattr(table, "scanner"):
            table = table.scanner()
        if hasattr(table, "to_reader"):
            self._source: Any = table.to_reader()
        elif hasattr(table, "__arrow_c_stream__"):
            self._source = pa.RecordBatchReader.from_stream(table)
        else:
            self._source = [pa.record_batch(table)]
        self._schema = self._source.schema if hasattr(self._source, "schema") else self._source[0].schema

    def _error(self, text: str) -> DataError:
        return DataError(f"{self._name}: {text}")

    def _close(self) -> None:
        """Nothing is to be closed: whoever made the table has it."""

    def batches(self, rows: int | None = None) -> Iterator[ArrowBatch]:
        """The rows in order, some at a time."""
        n_rows, start = batch_rows(len(self.columns), rows, MAX_BATCH_ROWS), 0
        for part in self._parts(n_rows):
            yield ArrowBatch(part, start)
            start += part.num_rows
        self._close()

    def _parts(self, n_rows: int) -> Iterator[Any]:
        """The rows in tables of so many and a last one, however many the batches hold: small ones would each cost a call."""
        waiting, n_read = self._empty(), 0
        stored = self._stored(n_rows)
        while True:
            try:
                batches = list(_until(stored, n_rows - waiting.num_rows))
            except (self._pa.ArrowException, OSError) as error:
                raise self._error(f"damaged after row {n_read} ({_first_line(error)})") from None
            if not batches:
                break
            waiting = self._pa.concat_tables([waiting, self._pa.Table.from_batches(batches)])
            while waiting.num_rows >= n_rows:
                yield waiting.slice(0, n_rows)
                n_read += n_rows
                waiting = waiting.slice(n_rows)
        if waiting.num_rows or n_read == 0:
            yield waiting

    def _empty(self) -> Any:
        """A table of these columns without rows."""
        return self._schema.empty_table().select(list(self.columns))

    def _stored(self, n_rows: int) -> Iterator[Any]:  # noqa: ARG002  - a file can be read in batches of that size
        for batch in self._source:
            yield batch.select(list(self.columns))

    def frame(self) -> pd.DataFrame:
        """The whole table."""
        # The schema is named because a file may have no batches.
        return to_frame(self._pa.Table.from_batches(list(self._stored(WHOLE_BATCH_ROWS)), self._empty().schema))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()


class ArrowReader(ArrowTable):
    """A Parquet or Arrow (Feather) file."""

    def __init__(self, file: IO[bytes], name: str, format: str) -> None:
        self._file = file if file.seekable() else io.BytesIO(file.read())
        self._format = format
        super().__init__(file, name)

    def _open(self, table: Any) -> None:  # noqa: ARG002  - the file is open already
        try:
            self._source = self._open_file()
            self._schema = self._source.schema_arrow if self._format == "parquet" else self._source.schema
        except (self._pa.ArrowException, OSError) as error:
            raise self._error(
                f"no {'Parquet' if self._format == 'parquet' else 'Arrow'} file, or damaged ({_first_line(error)})"
            ) from None

    def _open_file(self) -> Any:
        if self._format == "parquet":
            import pyarrow.parquet

            # By default it keeps all bytes that it has read, until it is closed.
            return pyarrow.parquet.ParquetFile(self._file, pre_buffer=False)
        import pyarrow.ipc

        is_file = self._file.read(6) == b"ARROW1"
        self._file.seek(0)
        return pyarrow.ipc.open_file(self._file) if is_file else pyarrow.ipc.open_stream(self._file)

    def _error(self, text: str) -> DataError:
        return TableReadError(f"{self._name!r}: {text}")

    def _close(self) -> None:
        self._file.close()

    def _stored(self, n_rows: int) -> Iterator[Any]:
        names = list(self.columns)
        if hasattr(self._source, "iter_batches"):
            yield from self._source.iter_batches(batch_size=n_rows, columns=names)
        elif hasattr(self._source, "num_record_batches"):
            for index in range(self._source.num_record_batches):
                yield self._source.get_batch(index).select(names)
        else:
            yield from super()._stored(n_rows)


def _until(batches: Iterator[Any], n_rows: int) -> Iterator[Any]:
    """Batches of so many rows together, or of the last of them."""
    while n_rows > 0 and (batch := next(batches, None)) is not None:
        yield batch
        n_rows -= batch.num_rows


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]
