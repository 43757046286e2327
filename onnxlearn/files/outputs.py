"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from onnxlearn.errors import OutputError

STDOUT = "-"
# The end of the name of a file that is being written.
PART = ".part"


def require_other_file(out: str | Path, *inputs: str | Path) -> None:
    """Raise ``OutputError`` where the output is the same file as one of the inputs, also through a link.

    An input that is no file (standard input, an example) cannot be overwritten.
    """
    for given in inputs:
        same = Path(out).is_file() and Path(given).is_file() and Path(out).samefile(given)
        if same and STDOUT not in (str(out), str(given)):
            raise OutputError(f"the output {str(out)!r} is the input {str(given)!r}: it would be lost; choose another name")


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A path to write to; what was written takes the place of ``path`` when the block ends without an error.

    ``-`` is standard output. Nothing is left behind on an error. Raises ``OutputError`` with the reason.
    """
    if str(path) == STDOUT:
        manager = _copied_later(STDOUT, _copy_to_stdout)
    elif _is_device(Path(path)):
        manager = _copied_later(str(path), lambda file: shutil.copyfile(file, path))
    else:
        manager = _renamed_later(Path(path))
    with manager as temporary:
        yield temporary


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder to write to; what is in it gets to ``path``, new or empty, when the block ends without an error.

    Nothing is left behind on an error. Raises ``OutputError`` with the reason.
    """
    if str(path) == STDOUT:
        raise OutputError("a folder cannot be written to standard output (-): give a folder's name")
    target = Path(path).resolve()
    with _explained(path):
        if target.is_dir() and any(target.iterdir()):
            raise OutputError(f"cannot write {str(path)!r}: the folder holds something; give a new or an empty one")
        if target.exists() and not target.is_dir():
            raise OutputError(f"cannot write {str(path)!r}: it is a file; give a folder's name")
        if not target.parent.is_dir():
            raise OutputError(f"cannot write {str(path)!r}: there is no folder {str(target.parent)!r}; make it first")
        # A folder that is there stays the same one: somebody may stand in it, and its permissions are its owner's.
        is_there = target.exists()
        temporary = _part_of(target / "folder" if is_there else target)
        temporary.mkdir()
    try:
        with _explained(path, temporary):
            yield temporary
            if is_there:
                for made in sorted(temporary.iterdir()):
                    made.replace(target / made.name)
            else:
                temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _part_of(target: Path) -> Path:
    """A name beside a file or folder, for what is to take its place."""
    return target.with_name(f"{_part_stem(target)}.{secrets.token_hex(4)}{PART}")


def _part_stem(target: Path) -> str:
    return f".{target.name[:200]}"


def drop_parts(path: Path) -> None:
    """Remove what a process that was killed left of a file that it was writing."""
    for left in path.parent.glob(f"{glob.escape(_part_stem(path))}.*{PART}"):
        left.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder and those that it lies in, as far as they are missing. Raises ``OutputError`` with the reason."""
    with _explained(path):
        path.mkdir(parents=True, exist_ok=True)


def _is_device(path: Path) -> bool:
    """Whether it is a device or a pipe: renaming would put a file in its place."""
    with _explained(path):
        return path.exists() and not path.is_file() and not path.is_dir()


@contextlib.contextmanager
def _renamed_later(path: Path) -> Iterator[Path]:
    # A link is written through, not replaced.
    with _explained(path):
        target = path.resolve()
        _require_writable(target)
    temporary = _part_of(target)
    try:
        with _explained(path, temporary):
            yield temporary
            _flush_to_disk(temporary)
            # The new file is the old one with other contents: its permissions stay.
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o7777)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _copied_later(name: str, copy: Callable[[Path], object]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="onnxlearn-") as folder:
        temporary = Path(folder, "output")
        with _explained(name, temporary):
            yield temporary
            copy(temporary)


def _copy_to_stdout(path: Path) -> None:
    sys.stdout.flush()
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.flush()


def _require_writable(target: Path) -> None:
    """Fail before the work is done, not after."""
    if target.is_dir():
        raise OutputError(f"cannot write {str(target)!r}: it is a folder; give a file name")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {str(target)!r}: there is no folder {str(target.parent)!r}; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"cannot write {str(target)!r}: no permission to write in {str(target.parent)!r}; choose another place"
        )


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
    errno.EACCES: "no permission; choose another place",
    errno.EPERM: "no permission; choose another place",
    errno.EROFS: "the disk is read-only; choose another place",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EFBIG: "the file would be too large for this disk; choose another place",
    errno.ENOENT: "no file can be made there; choose another place",
    errno.ENOTDIR: "a file is where a folder has to be; choose another place",
    errno.EEXIST: "a file is where a folder has to be; choose another place",
    errno.EINVAL: "no file can be made there; choose another place",
}


_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


@contextlib.contextmanager
def _explained(target: str | Path, temporary: Path | None = None) -> Iterator[None]:
    """Turn the system's error about the output into ours, with its reason in plain words; leave others alone.

    With ``temporary`` other files are worked on as well: only errors about that file and about the disk are the output's.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        ours = temporary is None or error.errno in _DISK or str(temporary) in (error.filename, error.filename2)
        if not ours or error.errno not in _REASONS:
            raise
        raise OutputError(f"cannot write {str(target)!r}: {_REASONS[error.errno]}") from error
