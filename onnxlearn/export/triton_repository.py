"""Another model, or another version of one, in a model repository that is there."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from onnxlearn.errors import OutputError
from onnxlearn.files.outputs import atomic_folder, atomic_path, make_folder

CONFIG = "config.pbtxt"
LABELS = "labels.txt"


def is_repository(folder: Path) -> bool:
    """Whether it holds a model's folder."""
    return folder.is_dir() and any(folder.glob(f"*/{CONFIG}"))


@contextlib.contextmanager
def added_to(repository: Path, version: int, serve_versions: int) -> Iterator[Path]:
    """An empty folder for new models; their versions enter the repository when the block ends without an error.

    Each model's config is replaced, as one stands for all its versions. Raises: OutputError where a version is not newer than
    those that are there, or cannot be served beside them.
    """
    # Elsewhere: a server that looks into the repository takes every folder in it for a model.
    with tempfile.TemporaryDirectory(prefix="onnxlearn-") as elsewhere:
        made = Path(elsewhere, "models")
        with atomic_folder(made) as empty:
            yield empty
        # What is made of parts has a shorter name than these, and enters after them.
        models = sorted(made.iterdir(), reverse=True)
        for model in models:
            _require_newer(repository, model, version)
            if serve_versions > 1:
                _require_alike(repository, model)
        for model in models:
            _add(model, repository / model.name, str(version))


def _require_newer(repository: Path, model: Path, version: int) -> None:
    newest = max((int(path.name) for path in (repository / model.name).glob("*/") if path.name.isdecimal()), default=0)
    if version <= newest:
        raise OutputError(
            f"cannot write {str(repository)!r}: the repository has version {newest} of {model.name!r}; "
            f"give version={newest + 1}, another name or another folder"
        )


def _require_alike(repository: Path, model: Path) -> None:
    there = repository / model.name
    if there.exists() and (_interface(there) != _interface(model)):
        raise OutputError(
            f"cannot write {str(repository)!r}: one config stands for all versions of {model.name!r}, and those that are there "
            "have other columns, outputs or labels; give serve_versions=1 or another name"
        )


def _interface(model: Path) -> list[str]:
    """What goes in and comes out, and the names of the classes."""
    texts = [path.read_text("utf-8") for path in (model / CONFIG, model / LABELS) if path.exists()]
    tensors = [line for line in "".join(texts[:1]).splitlines() if line.startswith(("input ", "output "))]
    return [*tensors, *texts[1:]]


def _add(model: Path, there: Path, version: str) -> None:
    """The version first: a config without it would be one of nothing. The config after the labels that it names."""
    make_folder(there)
    with atomic_folder(there / version) as place:
        for file in (model / version).iterdir():
            shutil.copyfile(file, place / file.name)
    files = [path for path in model.iterdir() if path.is_file()]
    for file in sorted(files, key=lambda file: file.name == CONFIG):
        with atomic_path(there / file.name) as place:
            shutil.copyfile(file, place)
    if not (model / LABELS).exists():
        (there / LABELS).unlink(missing_ok=True)
