"""The table itself: what an entry is, and how it gets in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from onnxlearn_models.lowering.operand import Constant, Traced

Tensorish: TypeAlias = Traced | Constant
Entry: TypeAlias = Callable[..., Any]
F = TypeVar("F", bound=Entry)

TABLE: dict[Any, Entry] = {}
"""By function object, by name for methods of a tensor, and by class for modules of torch that are lowered as one."""


def lowers(*targets: Any) -> Callable[[F], F]:
    """Register an entry for functions, method names and classes of modules."""

    def register(entry: F) -> F:
        TABLE.update(dict.fromkeys(targets, entry))
        return entry

    return register
