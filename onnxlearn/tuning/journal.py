"""The file of a study, which outlives processes that are killed while they write. Needs Optuna and filelock."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

from filelock import FileLock
from optuna.storages.journal import JournalFileBackend


class Journal(JournalFileBackend):
    """Optuna's file with a line for each change, written under a lock that ends with its process.

    Optuna's own lock is a link, which a killed process leaves behind: others wait for half a minute until they break it, be its
    owner dead or slow. Nor does it know of lines that a killed process had half written.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path, self._alone = Path(path), FileLock(f"{path}.lock", poll_interval=0.005)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write lines, after the last one that is whole."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._alone, self._path.open("rb+") as file:
            file.truncate(end_of_lines(file))
            file.seek(0, os.SEEK_END)
            file.write(lines.encode())
            file.flush()
            # Waiting for the disk is the most that a search costs: once for each trial's end, not for each value that is drawn.
            if any("state" in log for log in logs):
                os.fsync(file.fileno())


def end_of_lines(file: IO[bytes]) -> int:
    """Where the last whole line ends: nobody was told of what a killed process wrote behind it."""
    position = file.seek(0, os.SEEK_END)
    while position:
        file.seek(position - 1)
        if file.read(1) == b"\n":
            break
        position -= 1
    return position
