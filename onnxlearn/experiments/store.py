"""A folder of results: one finished iteration is one file that appears whole.

```text
design.json                              tasks, learners, resamplings and their fingerprints
splits/<task>.<resampling>.json          the rows of each iteration
runs/<task>/<learner>/<resampling>/      for each iteration
    0003.json                            how it went; written last, its presence says that the iteration is finished
    0003.parquet                         predictions, one line a test row
    0003.onnx                            the model, where models are kept
    0003-0001.json ...                   the same of an inner split, where the resampling is nested
```

Many processes, also on several machines that share the folder, may write at the same time; copies of parts of it can be put
together by copying files. Hidden files that end in ``.part`` are being written, or were when their process was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxlearn.errors import DataError, OutputError
from onnxlearn.experiments.predictions import read_prediction, write_prediction
from onnxlearn.experiments.record import Finished, Key, Record
from onnxlearn.files.outputs import PART, atomic_path, make_folder
from onnxlearn.model import Model, load
from onnxlearn.prediction import Prediction
from onnxlearn.resampling import Splits
from onnxlearn.schema import Target

DESIGN = "design.json"
# Seconds after which a file that is still being written was left by a process that is no more.
ABANDONED = 3600

_UNSAFE = re.compile(r"[^A-Za-z0-9_.=,+-]+")

AGAIN = "delete it, and the same call runs its iteration again"


class Store:
    """A results folder of one design. Made by :meth:`create` and :meth:`open`."""

    def __init__(self, folder: Path, design: Mapping[str, Any]) -> None:
        self.folder, self.design = folder, design
        self.targets = {name: Target.from_dict(task["target"]) for name, task in design["tasks"].items()}

    @classmethod
    def create(cls, folder: str | Path, design: Mapping[str, Any]) -> Store:
        """The folder for this design (plain JSON): a new one, or one that holds results of the same design already.

        Raises: OutputError where it holds those of another.
        """
        path = Path(folder)
        document = path / DESIGN
        if not document.exists():
            make_folder(path)
            # Of another process that makes the same folder right now, the design may be half written.
            if any(DESIGN not in file.name for file in path.iterdir()) and not document.exists():
                raise OutputError(f"the folder {str(path)!r} holds other files and no {DESIGN}: give a new or an empty folder")
            write_json(document, design)
        store = cls.open(path)
        _require_same(store.design, design, path)
        remove_leftovers(path)
        return store

    @classmethod
    def open(cls, folder: str | Path) -> Store:
        """A folder with results. Raises: DataError where there are none."""
        # Processes elsewhere may stand in another folder.
        path = Path(folder).absolute()
        if not (path / DESIGN).is_file():
            raise DataError(f"{str(folder)!r} is no results folder: it has no {DESIGN}; give the folder that store= named")
        try:
            return cls(path, read_json(path / DESIGN))
        except (KeyError, TypeError, AttributeError, DataError) as error:
            raise DataError(
                f"{str(path / DESIGN)!r} is damaged: bring it back from a copy, or give another folder and run it again"
            ) from error

    def is_here(self) -> bool:
        """Whether this process sees the folder: it may run on another machine than the one that opened it."""
        return (self.folder / DESIGN).is_file() and read_json(self.folder / DESIGN) == self.design

    def about(self, key: Key) -> list[Any]:
        """What the results of an iteration depend on."""
        parts = {"tasks": key.task, "learners": key.learner, "splits": f"{key.task}/{key.resampling}"}
        return [self.design["settings"], *(self.design[part].get(name) for part, name in parts.items())]

    def find(self, key: Key) -> Record | None:
        """How an iteration went; ``None`` where it is not finished, or an interrupted copy left out what belongs to it."""
        base = self.base(key)
        if not base.with_suffix(".json").exists():
            return None
        record = Record.from_dict(read_json(base.with_suffix(".json")))
        wanted = self._suffixes() if record.status == "done" or record.fallback else []
        return record if all(base.with_suffix(suffix).exists() for suffix in wanted) else None

    def _suffixes(self) -> list[str]:
        """Of the files that belong to an iteration that did not fail."""
        settings = self.design["settings"]
        return [suffix for suffix, name in ((".parquet", "predictions"), (".onnx", "models")) if settings[name]]

    def records(self) -> Iterator[Record]:
        """Every finished iteration, in the order of the design."""
        for task, learner, resampling in self.design["cells"]:
            folder = self.base(Key(task, learner, resampling, 0)).parent
            # Iteration, and inner split where it is one of those.
            for numbers in sorted(tuple(map(int, path.stem.split("-"))) for path in folder.glob("[0-9]*.json")):
                record = self.find(Key(task, learner, resampling, *numbers))
                if record is not None:
                    yield record

    def write(self, finished: Finished) -> None:
        """Keep an iteration. What belongs to it is there before it counts as finished."""
        base = self.base(finished.record.key)
        make_folder(base.parent)
        if finished.model is not None:
            finished.model.save(base.with_suffix(".onnx"))
        if finished.prediction is not None:
            with atomic_path(base.with_suffix(".parquet")) as temporary:
                write_prediction(temporary, finished.prediction)
        write_json(base.with_suffix(".json"), finished.record.to_dict())

    def write_splits(self, task: str, resampling: str, splits: Splits) -> None:
        """Keep the rows of each iteration."""
        path = self.folder / "splits" / f"{safe_name(task)}.{safe_name(resampling)}.json"
        if not path.exists():
            make_folder(path.parent)
            splits.save(path)

    def read(self, record: Record, *, model: bool = True) -> Finished:
        """An iteration with what was kept of it; without the model, which takes ten times as long to open, if asked so."""
        base = self.base(record.key)
        parquet, onnx = base.with_suffix(".parquet"), base.with_suffix(".onnx")
        return Finished(
            record,
            _read_prediction(parquet, self.targets[record.task]) if parquet.exists() else None,
            _read_model(onnx, record) if model and onnx.exists() else None,
        )

    def base(self, key: Key) -> Path:
        """The path of an iteration's files without their suffix."""
        folder = self.folder / "runs" / safe_name(key.task) / safe_name(key.learner) / safe_name(key.resampling)
        inner = "" if key.inner is None else f"-{key.inner:04d}"
        return folder / f"{key.iteration:04d}{inner}"


def _read_model(path: Path, record: Record) -> Model:
    if hashlib.sha256(path.read_bytes()).hexdigest() != record.sha256:
        raise DataError(f"{str(path)!r} is not the file that was scored: its bytes are others (onnxlearn.load opens it anyway)")
    return load(path, n_threads=1)


def _read_prediction(path: Path, target: Target) -> Prediction:
    try:
        return read_prediction(path, target)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from error


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left half written, as far as nobody can be writing it any more."""
    for path in folder.rglob(f"*{PART}"):
        # Another process may have deleted it, and a folder that cannot be written to is still one to read from.
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def safe_name(name: str) -> str:
    """A file name for any name, another one for each.

    >>> safe_name("mlp"), safe_name("my net/2")
    ('mlp', 'my-net-2-7db46ccc')
    """
    plain = _UNSAFE.sub("-", name)[:80].strip(".")
    # Of names that only differ in what a file system ignores, such as the case of letters, each keeps a place of its own.
    return plain if plain == name == name.lower() else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document: whole or not at all, the same bytes for the same values."""
    with atomic_path(path) as temporary:
        text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, way_out: str = AGAIN) -> Any:
    """Read a document. Raises: DataError where it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path, error, way_out) from error


def _damaged(path: Path, error: Exception, way_out: str = AGAIN) -> DataError:
    return DataError(f"{str(path)!r} is damaged ({error}): {way_out}")


def _require_same(stored: Mapping[str, Any], design: Mapping[str, Any], path: Path) -> None:
    """Refuse a folder of another design, naming the first difference."""
    # What was given changes nothing where it is the default.
    stored, wanted = ({**document, "given": None} for document in (stored, json.loads(json.dumps(design))))
    if stored == wanted:
        return
    # What other parts follow from comes first.
    for part in sorted(stored.keys() | wanted.keys(), key=lambda name: (name != "tasks", name != "splits", name)):
        theirs, ours = stored.get(part), wanted.get(part)
        if theirs == ours:
            continue
        if isinstance(theirs, dict) and isinstance(ours, dict):
            names = sorted(name for name in theirs.keys() | ours.keys() if theirs.get(name) != ours.get(name))
            what = f"{part} {', '.join(map(repr, names))}"
        else:
            what = part
        raise OutputError(
            f"the folder {str(path)!r} holds results of another design: it differs in {what}; give another folder, or delete it"
        )
