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
together by copying files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxlearn.errors import DataError, OutputError
from onnxlearn.experiments.predictions import read_prediction, write_prediction
from onnxlearn.experiments.record import Finished, Key, Record
from onnxlearn.files.outputs import atomic_path
from onnxlearn.model import load
from onnxlearn.resampling import Splits
from onnxlearn.schema import Target

_UNSAFE = re.compile(r"[^A-Za-z0-9_.=,+-]+")


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
        document = path / "design.json"
        if document.exists():
            store = cls.open(path)
            _require_same(store.design, design, path)
            return store
        if path.is_dir() and any(path.iterdir()):
            raise OutputError(f"the folder {str(path)!r} holds other files and no design.json: give a new or an empty folder")
        path.mkdir(parents=True, exist_ok=True)
        write_json(document, design)
        return cls(path, json.loads(document.read_text(encoding="utf-8")))

    @classmethod
    def open(cls, folder: str | Path) -> Store:
        """A folder with results. Raises: DataError where there are none."""
        path = Path(folder)
        try:
            text = (path / "design.json").read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(
                f"{str(path)!r} is no results folder: it has no design.json; give the folder that store= named"
            ) from error
        return cls(path, json.loads(text))

    def records(self) -> Iterator[Record]:
        """Every finished iteration, in the order of the design."""
        for cell in self.design["cells"]:
            for path in sorted(self.base(Key(cell[0], cell[1], cell[2], 0)).parent.glob("*.json")):
                yield Record.from_dict(read_json(path))

    def write(self, finished: Finished) -> None:
        """Keep an iteration. What belongs to it is there before it counts as finished."""
        base = self.base(finished.record.key)
        base.parent.mkdir(parents=True, exist_ok=True)
        if finished.model is not None:
            finished.model.save(base.with_suffix(".onnx"))
        if finished.prediction is not None:
            with atomic_path(base.with_suffix(".parquet")) as temporary:
                write_prediction(temporary, finished.prediction)
        write_json(base.with_suffix(".json"), finished.record.to_dict())

    def write_splits(self, task: str, resampling: str, splits: Splits) -> None:
        """Keep the rows of each iteration."""
        path = self.folder / "splits" / f"{safe_name(task)}.{safe_name(resampling)}.json"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            splits.save(path)

    def read(self, record: Record) -> Finished:
        """An iteration with what was kept of it."""
        base = self.base(record.key)
        parquet, onnx = base.with_suffix(".parquet"), base.with_suffix(".onnx")
        return Finished(
            record,
            read_prediction(parquet, self.targets[record.task]) if parquet.exists() else None,
            load(onnx, n_threads=1) if onnx.exists() else None,
        )

    def base(self, key: Key) -> Path:
        """The path of an iteration's files without their suffix."""
        folder = self.folder / "runs" / safe_name(key.task) / safe_name(key.learner) / safe_name(key.resampling)
        inner = "" if key.inner is None else f"-{key.inner:04d}"
        return folder / f"{key.iteration:04d}{inner}"


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


def read_json(path: Path) -> Any:
    """Read a document. Raises: DataError where it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{str(path)!r} is damaged ({error}): delete it, and its iteration is run again") from error


def _require_same(stored: Mapping[str, Any], design: Mapping[str, Any], path: Path) -> None:
    """Refuse a folder of another design, naming the first difference."""
    wanted = json.loads(json.dumps(design))
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
