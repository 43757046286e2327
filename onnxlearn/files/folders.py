"""A folder of files as one table, and its predictions as a folder of files."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import NDArray

from onnxlearn.errors import DataError, OutputError, TableReadError, listing
from onnxlearn.files.outputs import atomic_path, make_folder
from onnxlearn.files.tables import FORMATS, GZIP, Batch, open_table
from onnxlearn.files.writers import SUFFIXES, output_suffix
from onnxlearn.schema import Schema
from onnxlearn.wire.feeds import Feeds

if TYPE_CHECKING:
    from onnxlearn.model import Model

RECORD = "_onnxlearn.json"
"""In a folder of predictions: whose they are, so that the same call goes on and no other one mixes its own in."""


def part_files(folder: Path, format: str | None = None) -> list[Path]:
    """The files of a table that is kept as a folder, also in folders inside, in the order of their paths.

    Names that begin with ``_`` or ``.`` are no parts: job runners keep their notes so. Raises: TableReadError for a file that
    is no table, where ``format`` does not say what all of them are, and where there is none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_note(path.relative_to(folder)))
    strange = [] if format else [path for path in paths if _suffix(path) not in FORMATS]
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


def _suffix(path: Path) -> str:
    return path.name.lower().removesuffix(GZIP).rpartition(".")[2]


class FolderReader:
    """The files of a folder, one after the other; each has the columns of the first, in any order."""

    def __init__(self, folder: Path, format: str | None = None) -> None:
        self._folder, self._format = folder, format
        self._parts = part_files(folder, format)
        with _named(self._name(0)), open_table(self._parts[0], format) as first:
            self.columns = first.columns

    def _name(self, index: int) -> str:
        return str(self._parts[index].relative_to(self._folder))

    def batches(self, rows: int | None = None) -> Iterator[Batch]:
        """The rows in order, some at a time. There is one file open at a time."""
        for index, path in enumerate(self._parts):
            name = self._name(index)
            with _named(name):
                reader = open_table(path, self._format)
            with reader:
                _require_same(self.columns, reader.columns, self._name(0), name)
                batches = reader.batches(rows)
                while True:
                    with _named(name):
                        batch = next(batches, None)
                    if batch is None:
                        break
                    yield _PartBatch(batch, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing is open between batches but the file that :meth:`batches` closes."""


class _PartBatch:
    """Rows of a file in a folder: what is wrong with them is told with the file's name."""

    def __init__(self, batch: Batch, part: str) -> None:
        self._batch, self._part = batch, part

    def __len__(self) -> int:
        return len(self._batch)

    def feeds(self, schema: Schema) -> Feeds:
        with _named(self._part):
            return self._batch.feeds(schema)

    def column(self, name: str) -> Sequence[object]:
        with _named(self._part):
            return self._batch.column(name)

    def truth(self, schema: Schema) -> NDArray[Any] | None:
        with _named(self._part):
            return self._batch.truth(schema)


@contextlib.contextmanager
def _named(part: str) -> Iterator[None]:
    """Tell which file an error is about."""
    try:
        yield
    except DataError as error:
        raise type(error)(f"in {part!r}: {error}") from error


def _require_same(columns: Sequence[str], other: Sequence[str], first: str, name: str) -> None:
    if set(columns) == set(other):
        return
    lacking = [column for column in columns if column not in other]
    extra = [column for column in other if column not in columns]
    what = f"lacks {listing(lacking)}" if lacking else f"has {listing(extra)} besides"
    raise TableReadError(f"in {name!r}: its columns are not those of {first!r}: it {what}; give all files the same ones")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What :func:`predict_folder` did: files written, their rows, and files that were there from a run before."""

    parts: int
    rows: int
    kept: int

    def __str__(self) -> str:
        there = f"; {self.kept} were there already" if self.kept else ""
        return f"predicted {self.rows} rows of {self.parts} file{'' if self.parts == 1 else 's'}{there}"


def predict_folder(
    model: Model, data: str | Path, out: str | Path, *, keep: Sequence[str] = (), format: str | None = None
) -> Written:
    """Predict each file of a folder into a file of the same name in the folder ``out``, in constant memory.

    Each appears whole or not at all, so a run that ends early leaves whole ones: the same call goes on with those that are
    missing, or older than what they were made of. JSON lines are written as ``.jsonl``.

    Raises: as :func:`onnxlearn.files.stream.predict_file`, with the file's name; OutputError where ``out`` holds something
    else, such as predictions of another model.
    """
    from onnxlearn.files.stream import predict_file

    source, target = Path(data).resolve(), Path(out).resolve()
    if target == source or target.is_relative_to(source):
        raise OutputError(f"cannot write {str(out)!r}: it lies in the folder that is read; choose another place")
    pairs = _outputs(source, target, format)
    _claim(target, out, {"keep": list(keep), "model": hashlib.sha256(model.to_bytes()).hexdigest()})
    missing = [(part, made) for part, made in pairs if not _is_done(part, made)]
    n_rows = 0
    for part, made in missing:
        make_folder(made.parent)
        with _named(str(part.relative_to(source))):
            n_rows += predict_file(model, part, made, keep=keep, format=format)
    return Written(parts=len(missing), rows=n_rows, kept=len(pairs) - len(missing))


def _outputs(source: Path, target: Path, format: str | None) -> list[tuple[Path, Path]]:
    """Each file with the one to be made of it."""
    pairs: dict[Path, Path] = {}
    for part in part_files(source, format):
        made = target / _writable(part.relative_to(source))
        if made in pairs:
            raise OutputError(f"{str(pairs[made])!r} and {str(part)!r} would both be written to {str(made)!r}: rename one")
        pairs[made] = part
    return [(part, made) for made, part in pairs.items()]


def _writable(path: Path) -> Path:
    name = path.name
    packed = name.lower().endswith(GZIP)
    stem = name[: -len(GZIP)] if packed else name
    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        # .json is read as JSON lines; another suffix comes with --format.
        known = {"jsonl": "jsonl"}.get(FORMATS.get(suffix, ""), "csv")
        stem = f"{stem.rpartition('.')[0] or stem}.{known}"
    written = path.with_name(f"{stem}{GZIP if packed else ''}")
    output_suffix(written)
    return written


def _claim(target: Path, out: str | Path, record: dict[str, Any]) -> None:
    """Make the folder and note whose predictions it holds, or see that they are the same."""
    make_folder(target)
    noted = target / RECORD
    if noted.is_file():
        try:
            known = json.loads(noted.read_text("utf-8"))
        except ValueError:
            known = None
        if known != record:
            raise OutputError(
                f"cannot write {str(out)!r}: it holds predictions of another model, or with other columns (--keep); "
                "give another folder"
            )
    elif any(target.iterdir()):
        raise OutputError(f"cannot write {str(out)!r}: the folder holds something else; give a new or an empty one")
    else:
        with atomic_path(noted) as temporary:
            temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _is_done(part: Path, made: Path) -> bool:
    return made.is_file() and made.stat().st_mtime >= part.stat().st_mtime
