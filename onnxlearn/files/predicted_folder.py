"""The predictions of a folder of files, as a folder of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import OutputError, listing
from onnxlearn.files.folders import named, part_files
from onnxlearn.files.formats import FORMATS, GZIP, suffix_of
from onnxlearn.files.outputs import PART, atomic_path, drop_parts, make_folder
from onnxlearn.files.stream import predict_file
from onnxlearn.files.writers import SUFFIXES, output_suffix
from onnxlearn.images.rules import ImageRules

if TYPE_CHECKING:
    from onnxlearn.model import Model

RECORD = "_onnxlearn.json"
"""In a folder of predictions: whose they are, so that the same call goes on and no other one mixes its own in."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What :func:`predict_folder` did: files written, their rows, and files that were there from a run before.

    ``strays``: predictions in the folder of files that are not in the other one any more.
    """

    parts: int
    rows: int
    kept: int
    strays: tuple[str, ...] = ()

    def __str__(self) -> str:
        there = f"; {self.kept} were there already" if self.kept else ""
        strays = f"; predictions of files that are gone: {listing(self.strays)}" if self.strays else ""
        return f"predicted {self.rows} rows of {self.parts} file{'' if self.parts == 1 else 's'}{there}{strays}"


def predict_folder(
    model: Model,
    data: str | Path,
    out: str | Path,
    *,
    keep: Sequence[str] = (),
    format: str | None = None,
    images: ImageRules | Mapping[str, Any] | None = None,
) -> Written:
    """Predict each file of a folder into a file of the same name in the folder ``out``, in constant memory.

    Each appears whole or not at all, so a run that ends early leaves whole ones: the same call goes on with those that are
    missing, or older than what they were made of. JSON lines are written as ``.jsonl``.

    Raises: as :func:`onnxlearn.files.stream.predict_file`, with the file's name; OutputError where ``out`` holds something
    else, such as predictions of another model.
    """
    source, target = Path(data).resolve(), Path(out).resolve()
    if target == source or target.is_relative_to(source):
        raise OutputError(f"cannot write {str(out)!r}: it lies in the folder that is read; choose another place")
    pairs = _outputs(source, target, format)
    _claim(target, out, {"keep": list(keep), "model": hashlib.sha256(model.to_bytes()).hexdigest()})
    missing = [(part, made) for part, made in pairs if not _is_done(part, made)]
    n_rows = 0
    for part, made in missing:
        make_folder(made.parent)
        drop_parts(made)
        with named(str(part.relative_to(source))):
            n_rows += predict_file(model, part, made, keep=keep, format=format, images=images)
    written = {made for _, made in pairs}
    strays = tuple(str(path.relative_to(target)) for path in part_files(target, any_suffix=True) if path not in written)
    return Written(parts=len(missing), rows=n_rows, kept=len(pairs) - len(missing), strays=strays)


def _outputs(source: Path, target: Path, format: str | None) -> list[tuple[Path, Path]]:
    """Each file with the one to be made of it."""
    pairs: dict[Path, Path] = {}
    for part in part_files(source, any_suffix=format is not None):
        made = target / _writable(part.relative_to(source))
        if made in pairs:
            raise OutputError(f"{str(pairs[made])!r} and {str(part)!r} would both be written to {str(made)!r}: rename one")
        pairs[made] = part
    return [(part, made) for made, part in pairs.items()]


def _writable(path: Path) -> Path:
    name = path.name
    packed = name.lower().endswith(GZIP)
    stem = name[: -len(GZIP)] if packed else name
    suffix = suffix_of(name)
    if suffix not in SUFFIXES:
        # .json is read as JSON lines; another suffix comes with --format.
        stem = f"{stem.rpartition('.')[0] or stem}.{'jsonl' if FORMATS.get(suffix) == 'jsonl' else 'csv'}"
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
    elif any(not path.name.endswith(PART) for path in target.iterdir()):
        raise OutputError(f"cannot write {str(out)!r}: the folder holds something else; give a new or an empty one")
    else:
        with atomic_path(noted) as temporary:
            temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _is_done(part: Path, made: Path) -> bool:
    return made.is_file() and made.stat().st_mtime >= part.stat().st_mtime
