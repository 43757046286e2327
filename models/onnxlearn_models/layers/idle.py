"""Settings that cannot count beside others."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from onnxlearn.errors import ParameterError


def refuse_idle(config: Any, names: Collection[str], why: str) -> None:
    """Refuse values other than the default for these settings of a dataclass: whoever gives one expects it to count.

    Raises: ParameterError that ends in ``why``, such as "with n_blocks=0".
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in names and value != field.default:
            raise ParameterError(f"{field.name}={value!r} changes nothing {why}: leave it out")
