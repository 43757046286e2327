"""The folder of a training, from which it goes on when it was ended by whatever it was.

```text
training.json              what is trained: task, learner and versions; written once
network-1.safetensors      where the training of the first network stands; replaced as it goes on
network-2.safetensors      of the second, where there are several
```

One process at a time trains in a folder. Hidden files that end in ``.part`` were being written when their process was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from onnxlearn.errors import DataError, OutputError, ParameterError, listing
from onnxlearn.experiments.design import own_code
from onnxlearn.experiments.store import read_json, write_json
from onnxlearn.files.outputs import PART, make_folder
from onnxlearn.learner import Learner
from onnxlearn.processes import place
from onnxlearn.task import Task
from onnxlearn.tasks.fingerprint import task_fingerprint
from onnxlearn_models.packing import version
from onnxlearn_models.training.checkpoint import DOCUMENT, Checkpoint, CheckpointFile, read_checkpoint
from onnxlearn_models.training.config import is_setting

FORMAT_VERSION = 1
NETWORKS = "network-*.safetensors"
_WAY_OUT = (
    "nothing tells what is trained there: put back what it was, or train in another folder (a network file of this one can be "
    "what that begins with: start_from)"
)
FREE = ("max_epochs", "stop_epoch", "patience", "time_budget", "callbacks", "budget")
"""Parameters that may be others when a training goes on."""

Files: TypeAlias = Callable[[int], CheckpointFile | None]
"""Where each network, counted from 1, keeps its checkpoint."""


@dataclass(frozen=True)
class TrainingFolder:
    """A folder to look into; :func:`read_folder` opens one.

    ``about``: the contents of ``training.json``. ``networks``: where the training of each network stands, by number, as far as
    it has begun.
    """

    path: Path
    about: dict[str, Any]
    networks: dict[int, Checkpoint]


def read_folder(folder: str | Path) -> TrainingFolder:
    """Look into the folder of a training, be it finished or not.

    Raises: DataError where it is none, or damaged.

    >>> import tempfile
    >>> import onnxlearn as ol
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = ol.learner("linear", max_epochs=2).fit(ol.example_task("penguins"), folder=folder, progress=False)
    ...     found = read_folder(folder)
    >>> found.networks[1].epoch, list(found.networks[1].weights()), found.about["learner"]["name"]
    (2, ['weight', 'bias'], 'linear')
    """
    path = Path(folder)
    if not (path / DOCUMENT).is_file():
        raise DataError(f"{str(folder)!r} is no training folder: it has no {DOCUMENT}; give the folder that folder= named")
    checkpoints = {int(file.stem.removeprefix("network-")): read_checkpoint(file) for file in path.glob(NETWORKS)}
    return TrainingFolder(path, _read_document(path), dict(sorted(checkpoints.items())))


def no_file(number: int) -> None:
    """Without a folder nothing is kept of a network."""
    del number


@contextlib.contextmanager
def training_folder(
    folder: str | Path | None, learner: Learner, task: Task, test: Task | None = None, begun: str = NETWORKS
) -> Iterator[Files]:
    """Open the folder of this training, a new one or one that it goes on in; without a folder nothing is kept.

    ``test``: rows that choose the epoch, where the learner has ``validation="test"``. ``begun``: what is there as soon as
    something would be lost.

    Raises: ParameterError for what is no folder and where it holds another training, OutputError where it cannot be written to
    or another process trains in it.
    """
    if folder is None:
        yield no_file
        return
    if not isinstance(folder, str | Path) or not str(folder):
        raise ParameterError(f"folder is the path of a folder, new or of this training, not {folder!r}")
    validation = learner.values.get("validation")
    chosen_by = test if isinstance(validation, str) and validation == "test" else None
    path, document = Path(folder), describe(learner, task, chosen_by)
    if not place().is_first:
        # The first of several processes looks after it.
        _goes_on(path, document, begun)
        yield lambda number: CheckpointFile(path / f"network-{number}.safetensors")
        return
    make_folder(path)
    with _locked(path):
        for leftover in path.glob(f".*{PART}"):
            leftover.unlink()
        if not _goes_on(path, document, begun):
            _begin(path, document)
        yield lambda number: CheckpointFile(path / f"network-{number}.safetensors")


def describe(learner: Learner, task: Task, test: Task | None = None) -> dict[str, Any]:
    """What is trained, as plain JSON: two trainings of one description are one, at different times."""
    return {
        "format_version": FORMAT_VERSION,
        "task": _about(task),
        "test": None if test is None else _about(test),
        "schema": task.schema.to_dict(),
        "learner": _without_free(learner.to_dict()),
        "code": _without_free(own_code(learner)),
        "versions": {package: version(package) for package in ("onnxlearn", "torch")},
    }


def _about(task: Task) -> dict[str, Any]:
    return {"name": task.schema.name, "n_rows": task.n_rows, "sha256": task_fingerprint(task)}


def _read_document(path: Path) -> dict[str, Any]:
    """What is trained in a folder. Raises: DataError where the file does not tell."""
    document = read_json(path / DOCUMENT, _WAY_OUT)
    parts = ("task", "schema", "learner", "code", "versions")
    if not isinstance(document, dict) or not isinstance(document.get("format_version"), int):
        raise DataError(f"{str(path / DOCUMENT)!r} is damaged (it has no format_version): {_WAY_OUT}")
    if document["format_version"] > FORMAT_VERSION:
        raise DataError(f"{str(path)!r} has format {document['format_version']}, which is newer than this onnxlearn: update it")
    if absent := [name for name in parts if not isinstance(document.get(name), dict)]:
        raise DataError(f"{str(path / DOCUMENT)!r} is damaged (it has no {absent[0]}): {_WAY_OUT}")
    return document


def _without_free(value: Any) -> Any:
    """Without :data:`FREE`, also those of learners inside."""
    if isinstance(value, Mapping):
        return {name: _without_free(each) for name, each in value.items() if name not in FREE}
    return [_without_free(each) for each in value] if isinstance(value, list | tuple) else value


def _goes_on(path: Path, document: Mapping[str, Any], begun: str) -> bool:
    """Whether this training has begun in the folder. Raises: ParameterError where another one has."""
    if not (path / DOCUMENT).is_file() or not any(path.glob(begun)):
        # Of another training whose first epoch never ended nothing would be lost.
        return False
    _require_same(_read_document(path), json.loads(json.dumps(document)), path)
    return True


def _begin(path: Path, document: Mapping[str, Any]) -> None:
    """Make the folder that of this training. Raises: OutputError."""
    others = [file.name for file in path.iterdir() if not file.name.startswith(".") and file.name != DOCUMENT]
    if others:
        raise OutputError(f"the folder {str(path)!r} holds other files, {listing(others, 3)}: give a new or an empty folder")
    write_json(path / DOCUMENT, document)


def _require_same(stored: Mapping[str, Any], document: Mapping[str, Any], path: Path) -> None:
    """Raise ``ParameterError`` where the folder holds another training, with what differs."""
    if difference := _difference(stored, document):
        raise ParameterError(
            f"the folder {str(path)!r} holds another training: {difference}; give another folder, or delete this one (its "
            "weights can be what another training begins with: start_from)"
        )


def _difference(stored: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """What differs first, in words; empty where nothing does."""
    then, now = stored["task"], document["task"]
    if then != now:
        same = {name: then[name] == now[name] for name in then}
        if same["name"] and same["n_rows"]:
            return f"its task {now['name']!r} has as many rows, {now['n_rows']:,}, but others, or other columns or roles"
        return f"its task is {then['name']!r} with {then['n_rows']:,} rows, not {now['name']!r} with {now['n_rows']:,}"
    if stored.get("test") != document["test"]:
        return "other test rows chose its epochs (validation='test')"
    then, now = stored["learner"], document["learner"]
    if then["name"] != now["name"]:
        return f"its learner is {then['name']!r}, not {now['name']!r}"
    # A choice that differs explains its settings.
    names = sorted(then["params"].keys() | now["params"].keys(), key=lambda name: (is_setting(name), name))
    other = [name for name in names if then["params"].get(name) != now["params"].get(name)]
    if other:
        return "it has " + ", ".join(
            f"{name}={then['params'].get(name)!r}, not {now['params'].get(name)!r}" for name in other[:3]
        )
    return "the code of what the learner was given is another" if stored["code"] != document["code"] else ""


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes out; the lock of one that is killed is gone with it. Raises: OutputError."""
    from filelock import FileLock, Timeout

    if not os.access(path, os.W_OK):
        # Nobody can train there: what is over can be read all the same.
        yield
        return
    lock = FileLock(path / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(f"another process trains in the folder {str(path)!r}: wait for it, or give another folder") from error
    except (OSError, NotImplementedError) as error:
        raise OutputError(f"cannot train in the folder {str(path)!r}: {error}; choose another place") from error
    try:
        yield
    finally:
        lock.release()
