"""The name that a server knows a model by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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
