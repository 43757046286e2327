"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from onnxlearn.errors import OutputError

STDOUT = "-"


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A path to write to; what was written takes the place of ``path`` when the block ends without an error.

    ``-`` is standard output. Nothing is left behind on an error. Raises ``OutputError`` with the reason.
    """
    if str(path) == STDOUT:
        with _stdout_path() as temporary:
            yield temporary
        return
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    with _explained(target):
        _require_writable(target)
        try:
            yield temporary
            _flush_to_disk(temporary)
            _take_place(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def _require_writable(target: Path) -> None:
    """Fail before the work is done, not after."""
    if target.is_dir():
        raise OutputError(f"cannot write {str(target)!r}: it is a folder; give a file name")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {str(target)!r}: there is no folder {str(target.parent)!r}; make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {str(target)!r}: no permission to write in {str(target.parent)!r}; choose another place")


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _take_place(temporary: Path, target: Path) -> None:
    # A link is written through, not replaced, and an existing file keeps its permissions.
    real = target.resolve()
    if real.exists():
        temporary.chmod(real.stat().st_mode & 0o7777)
    temporary.replace(real)


@contextlib.contextmanager
def _stdout_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, _explained(Path("standard output")):
        temporary = Path(folder, "stdout")
        yield temporary
        sys.stdout.flush()
        with temporary.open("rb") as file:
            while block := file.read(1 << 20):
                sys.stdout.buffer.write(block)
        sys.stdout.flush()


_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another place",
    errno.EACCES: "no permission; choose another place",
    errno.EPERM: "no permission; choose another place",
    errno.EROFS: "the disk is read-only; choose another place",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turn the system's error into ours, with its reason in plain words."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        raise OutputError(f"cannot write {str(target)!r}: {_REASONS[error.errno]}") from error
