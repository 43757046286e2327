"""What the folders for servers have in common."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import ParameterError

if TYPE_CHECKING:
    from onnxlearn.model import Model

_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def served_name(model: Model, name: str | None) -> str:
    """The name given, or one made of the task's: letters, digits, ``_``, ``-`` and ``.``, as it is part of addresses.

    Raises: ParameterError for a name given that has other characters.
    """
    if name is None:
        made = re.sub(r"[^A-Za-z0-9_.-]+", "_", model.schema.name).strip("_.-")
        return made or "model"
    if not _ALLOWED.fullmatch(name):
        raise ParameterError(f"name is part of addresses: letters, digits, '_', '-' and '.', not {name!r}")
    return name


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and programs: UTF-8, indented."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
