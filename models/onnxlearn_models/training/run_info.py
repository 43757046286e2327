"""What a training is of: for names and records of runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxlearn.errors import ParameterError
from onnxlearn.parts import parts


@dataclass(frozen=True)
class RunInfo:
    """Names of task and learner, the learner's parameters, what was ``chosen`` where they left something open.

    ``parts``: what the training is part of, such as ``("cv 2", "fold 1 of 5")``; the largest first.
    """

    task: str = "task"
    learner: str = "learner"
    params: Mapping[str, Any] = field(default_factory=dict)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = field(default_factory=parts)

    @property
    def name(self) -> str:
        """Task, learner and parts in one word that suits as a file's name.

        >>> RunInfo("iris", "mlp", parts=("cv 2", "member 1, 'linear'")).name
        'iris-mlp-cv-2-member-1-linear'
        """
        return re.sub(r"[^\w.=]+", "-", "-".join((self.task, self.learner, *self.parts))).strip("-.") or "run"

    def folder(self, pattern: str) -> Path:
        """Make a new folder. ``{run}`` in the pattern stands for a name of the training that no folder has yet.

        Raises: ParameterError where the pattern has no ``{run}`` and the folder holds something.
        """
        for path in self._paths(pattern):
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                if "{run}" in pattern:
                    continue
                if not path.is_dir() or any(path.iterdir()):
                    raise ParameterError(f"{path} holds another run already: {_way_out(pattern)}") from None
            return path
        raise AssertionError

    def file(self, pattern: str) -> Path:
        """Make an empty file; ``{run}`` as of :meth:`folder`, and without it the file is replaced.

        Raises: ParameterError where several trainings would replace each other's file.
        """
        if self.parts and "{run}" not in pattern:
            raise ParameterError(f"{pattern} would be written by several trainings in turn: {_way_out(pattern)}")
        for path in self._paths(pattern):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.open("x" if "{run}" in pattern else "w").close()
            except FileExistsError:
                continue
            return path
        raise AssertionError

    def _paths(self, pattern: str) -> Iterator[Path]:
        """The pattern's path, or those that it gives for ``name``, ``name-2``, ``name-3`` and so on."""
        number = 1
        while True:
            yield Path(pattern.replace("{run}", self.name if number == 1 else f"{self.name}-{number}"))
            number += 1


def _way_out(pattern: str) -> str:
    path = Path(pattern)
    numbered = path.with_name(f"{{run}}{path.suffix}") if path.suffix else path / "{run}"
    return f"give each a name of its own by {{run}}, as in {str(numbered)!r}"
