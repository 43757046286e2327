"""A folder of files as one table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from onnxlearn.errors import ColumnNotFoundError, DataError, TableReadError, listing
from onnxlearn.files.formats import FORMATS, IMAGE_ENDINGS, suffix_of
from onnxlearn.images.feed import ImageFeed
from onnxlearn.schema import Schema
from onnxlearn.wire.feeds import Feeds

if TYPE_CHECKING:
    from onnxlearn.files.tables import Batch, TableReader


def part_files(folder: Path, *, any_suffix: bool = False) -> list[Path]:
    """The files of a table that is kept as a folder, also in folders inside, in the order of their paths.

    Names that begin with ``_`` or ``.`` are no parts: job runners keep their notes so; nor are files of images. Links to files
    are parts. Raises: TableReadError for a file that is no table by its suffix, unless ``any_suffix`` will do, for a link to
    something else, and where there is none.
    """
    named_paths = [path for path in folder.rglob("*") if not _is_note(path.relative_to(folder))]
    paths = sorted(path for path in named_paths if path.is_file())
    astray = sorted(path for path in named_paths if path.is_symlink() and not path.is_file())
    if astray:
        what = "a folder" if astray[0].is_dir() else "nothing"
        raise TableReadError(
            f"{str(folder)!r}: {str(astray[0].relative_to(folder))!r} is a link to {what}, and only links to files are read: "
            "remove it, or begin its name with an underscore"
        )
    if not any_suffix:
        # Pictures lie beside the tables that name them.
        paths = [path for path in paths if not path.name.lower().endswith(IMAGE_ENDINGS)]
    strange = [] if any_suffix else [path for path in paths if suffix_of(path.name) not in FORMATS]
    if strange:
        raise TableReadError(
            f"{str(folder)!r}: {str(strange[0].relative_to(folder))!r} is none of the formats that can be read "
            f"({listing(FORMATS)}): remove it, begin its name with an underscore, or say --format for all of them"
        )
    if not paths:
        raise TableReadError(f"the folder {str(folder)!r} holds no table: files ending in {listing(FORMATS)}")
    return paths


def _is_note(path: Path) -> bool:
    return any(part.startswith(("_", ".")) for part in path.parts)


class FolderReader:
    """The files of a folder, one after the other; each has the columns of the first, in any order.

    ``open_part``: opens one of them.
    """

    def __init__(self, folder: Path, open_part: Callable[[Path], TableReader], *, any_suffix: bool = False) -> None:
        self._folder, self._open = folder, open_part
        self._parts = part_files(folder, any_suffix=any_suffix)
        with named(self._name(0)), open_part(self._parts[0]) as first:
            self.columns = first.columns

    def _name(self, index: int) -> str:
        return str(self._parts[index].relative_to(self._folder))

    def batches(self, rows: int | None = None) -> Iterator[Batch]:
        """The rows in order, some at a time. There is one file open at a time."""
        for index, path in enumerate(self._parts):
            name = self._name(index)
            with named(name):
                reader = self._open(path)
            with reader:
                _require_same(self.columns, reader.columns, self._name(0), name)
                batches = reader.batches(rows)
                while True:
                    with named(name):
                        batch = next(batches, None)
                    if batch is None:
                        break
                    yield _PartBatch(batch, name, path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is open between batches but the file that :meth:`batches` closes."""


class _PartBatch:
    """Rows of a file in a folder: what is wrong with them is told with the file's name, and images are looked for beside it."""

    def __init__(self, batch: Batch, part: str, folder: Path) -> None:
        self._batch, self._part, self._folder = batch, part, folder

    def __len__(self) -> int:
        return len(self._batch)

    def feeds(self, schema: Schema) -> Feeds:
        with named(self._part):
            feeds = self._batch.feeds(schema)
        return {name: feed.within(self._folder) if isinstance(feed, ImageFeed) else feed for name, feed in feeds.items()}

    def column(self, name: str) -> Sequence[object]:
        with named(self._part):
            return self._batch.column(name)

    def truth(self, schema: Schema) -> NDArray[Any] | None:
        with named(self._part):
            return self._batch.truth(schema)


@contextlib.contextmanager
def named(part: str) -> Iterator[None]:
    """Tell which file an error is about."""
    try:
        yield
    except DataError as error:
        raise type(error)(f"in {part!r}: {error}{_partition_hint(part, error)}") from error


def _partition_hint(part: str, error: DataError) -> str:
    """The way out where a column that is missing stands in the names of the folders."""
    columns = [name.partition("=")[0] for name in Path(part).parts[:-1] if "=" in name]
    told = isinstance(error, ColumnNotFoundError) and [name for name in columns if repr(name) in str(error)]
    if not told:
        return ""
    return (
        f" Names of folders are no columns here, as {told[0]!r} would be: "
        "model.predict(pyarrow.dataset.dataset(FOLDER, partitioning='hive')) reads them."
    )


def _require_same(columns: Sequence[str], other: Sequence[str], first: str, name: str) -> None:
    if set(columns) == set(other):
        return
    lacking = [column for column in columns if column not in other]
    extra = [column for column in other if column not in columns]
    what = f"lacks {listing(lacking)}" if lacking else f"has {listing(extra)} besides"
    raise TableReadError(f"in {name!r}: its columns are not those of {first!r}: it {what}; give all files the same ones")
