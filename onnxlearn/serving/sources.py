"""Which files are served under which names and versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from onnxlearn.errors import ModelFileError

MODEL_FILE = "model.onnx"
FIRST_VERSION = "1"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"

_NAMED = re.compile(rf"(?:(?P<name>{NAME})(?::(?P<version>[0-9]+))?=)?(?P<path>.+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file that is served: its name and version in addresses."""

    name: str
    version: str
    path: Path

    def stamp(self) -> tuple[int, int, int]:
        """What changes when the file is written or replaced. Raises: ModelFileError where it cannot be asked for."""
        try:
            told = self.path.stat()
        except OSError as error:
            raise ModelFileError(f"cannot read the model file {str(self.path)!r}: {error.strerror}") from error
        return told.st_mtime_ns, told.st_size, told.st_ino


def find_sources(texts: Iterable[str]) -> list[Source]:
    """What these texts serve, by name and version.

    ``penguins.onnx`` is version 1 of ``penguins``; ``birds=penguins.onnx`` and ``birds:2=penguins.onnx`` give it another
    name, and a version. A folder with ``1/model.onnx``, ``2/model.onnx`` ... holds the versions of a model of the folder's
    name (the layout of Triton's repositories). Any other folder holds several: files ``*.onnx`` and folders of versions.

    Raises: ModelFileError where there is no such file, none in a folder, a name that cannot stand in an address, or one
    name and version twice.
    """
    found = [source for text in texts for source in _sources(text)]
    by_key: dict[tuple[str, str], Source] = {}
    for source in found:
        other = by_key.setdefault((source.name, source.version), source)
        if other is not source:
            raise ModelFileError(
                f"{str(other.path)!r} and {str(source.path)!r} are both version {source.version} of {source.name!r}; "
                f"give one another name or version: {source.name}:{int(source.version) + 1}={source.path}"
            )
    return sorted(by_key.values(), key=lambda source: (source.name, int(source.version)))


def _sources(text: str) -> list[Source]:
    match = _NAMED.fullmatch(text)
    if match is None or Path(text).exists():
        name, version, path = None, None, Path(text)
    else:
        name, version, path = match["name"], match["version"], Path(match["path"])
    if not path.is_dir():
        return [_file(path, name, version)]
    versions = _versions(path, name)
    if versions and version is not None:
        raise ModelFileError(f"the folder {str(path)!r} tells the versions itself; leave out ':{version}'")
    if versions or name is None:
        return versions or _repository(path)
    raise ModelFileError(f"the folder {str(path)!r} has no versions (1/{MODEL_FILE} ...) that could be called {name!r}")


def _file(path: Path, name: str | None, version: str | None) -> Source:
    if not path.is_file():
        raise ModelFileError(f"there is no model file or folder {str(path)!r}")
    return Source(name=_name(path.stem if name is None else name, path), version=version or FIRST_VERSION, path=path.resolve())


def _name(name: str, path: Path) -> str:
    if re.fullmatch(NAME, name) is None:
        raise ModelFileError(
            f"{name!r} cannot be the name of a model in an address (letters, digits, '.', '_' and '-'); "
            f"give another one: NAME={path}"
        )
    return name


def _versions(folder: Path, name: str | None) -> list[Source]:
    numbered = [file for file in folder.glob(f"*/{MODEL_FILE}") if re.fullmatch("[0-9]+", file.parent.name)]
    if not numbered:
        return []
    called = _name(folder.resolve().name if name is None else name, folder)
    return [Source(name=called, version=file.parent.name, path=file.resolve()) for file in numbered]


def _repository(folder: Path) -> list[Source]:
    files = [_file(path, None, None) for path in sorted(folder.glob("*.onnx"))]
    models = [source for path in sorted(folder.iterdir()) if path.is_dir() for source in _versions(path, None)]
    if not files and not models:
        raise ModelFileError(f"the folder {str(folder)!r} holds no model: neither *.onnx nor NAME/1/{MODEL_FILE}")
    return files + models
