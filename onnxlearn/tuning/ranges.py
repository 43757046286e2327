"""What a parameter may be in a search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from onnxlearn.errors import ParameterError
from onnxlearn.params import to_json


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included.

    ``log``: all orders of magnitude are equally likely. ``step``: these numbers alone, from ``low`` on. A parameter of whole
    numbers gets whole numbers. ``when``: other parameters of the search, or of the learner, with the values beside which this
    one is searched; what a parameter says of itself (``n_bins`` counts with ``num_embedding=piecewise_linear``) is known.

    >>> Range(1e-4, 1e-1, log=True)
    Range(0.0001, 0.1, log=True)

    Raises: ParameterError for ends that are no range.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if not (name == "step" and value is None) and (not isinstance(value, int | float) or isinstance(value, bool)):
                raise ParameterError(f"{name} of a range is a number, not {value!r}")
        if not self.low < self.high:
            raise ParameterError(f"a range goes from a smaller number to a greater one, not from {self.low} to {self.high}")
        if self.log and self.low <= 0:
            raise ParameterError(f"a range of orders of magnitude (log=True) begins above 0, not at {self.low}")
        if self.step is not None and (self.log or not 0 < self.step <= self.high - self.low):
            way = "log=True has no steps" if self.log else f"a step lies within the range, above 0: not {self.step}"
            raise ParameterError(f"{self!r}: {way}")
        object.__setattr__(self, "when", _conditions(self.when))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, which :func:`domain_from_dict` reads.

        >>> Range(1e-4, 1e-1, log=True).to_dict()
        {'low': 0.0001, 'high': 0.1, 'log': True}
        """
        step = {} if self.step is None else {"step": self.step}
        return {"low": self.low, "high": self.high, **({"log": True} if self.log else {}), **step, **_when(self)}

    def __repr__(self) -> str:
        parts = [repr(self.low), repr(self.high)]
        parts += ["log=True"] * self.log + ([] if self.step is None else [f"step={self.step!r}"]) + _told(self.when)
        return f"Range({', '.join(parts)})"


@dataclass(frozen=True, init=False)
class Choice:
    """One of these values, of any type that the parameter takes; ``when`` as of :class:`Range`.

    >>> Choice("relu", "gelu"), Choice(None, 1.0)
    (Choice('relu', 'gelu'), Choice(None, 1.0))

    Raises: ParameterError for none, and for one that is there twice.
    """

    values: tuple[Any, ...]
    when: Mapping[str, Any]

    def __init__(self, *values: Any, when: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "when", _conditions(when or {}))
        if not values:
            raise ParameterError("a choice needs values: Choice('relu', 'gelu')")
        if len(set(self.labels)) < len(values):
            raise ParameterError(f"{self!r} has a value twice")

    @property
    def labels(self) -> tuple[str, ...]:
        """A text for each value, another one for each.

        >>> Choice("a", 1, (64, 32)).labels
        ('a', '1', '[64, 32]')
        """
        return tuple(label(value) for value in self.values)

    def index(self, value: Any) -> int:
        """The place of a value that is there as plain JSON, as in a trial.

        >>> Choice(None, (64, 32), len).index([64, 32]), Choice(None, len).index("builtins:len")
        (1, 1)
        """
        return [label(_plain(each)) for each in self.values].index(label(value))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, which :func:`domain_from_dict` reads; of values that are none their names.

        >>> Choice("relu", (64, 32)).to_dict(), Choice(len).to_dict()
        ({'values': ['relu', [64, 32]]}, {'names': ['builtins:len']})
        """
        key = "values" if all(map(is_plain, self.values)) else "names"
        return {key: [_plain(value) for value in self.values], **_when(self)}

    def __repr__(self) -> str:
        return f"Choice({', '.join([*map(repr, self.values), *_told(self.when)])})"


Domain: TypeAlias = Range | Choice
"""What a parameter may be."""

Size: TypeAlias = Literal["small", "medium", "large"]
SIZES = get_args(Size)
"""How much a ready space searches."""


def domain_from_dict(document: Mapping[str, Any]) -> Domain:
    """Inverse of ``to_dict``; what has names alone is a choice between these texts. ``name``: of the parameter, left out."""
    if "low" in document:
        return Range(**{key: value for key, value in document.items() if key != "name"})
    return Choice(*document.get("values", document.get("names", ())), when=document.get("when"))


def require_size(size: object) -> None:
    """Raise ParameterError for what is no size of a ready space."""
    if size not in SIZES:
        raise ParameterError(f"a ready space is one of {', '.join(SIZES)}, not {size!r}")


def label(value: Any) -> str:
    """A value as text: of a learner its name with what it was given.

    >>> label(None), label(0.5), label("0.5")
    ('null', '0.5', '"0.5"')
    """
    if isinstance(value, str):
        # A text that reads as another value is told from it.
        return json.dumps(value) if _reads_as_json(value) else value
    if hasattr(value, "config_types"):
        return repr(value)
    return json.dumps(to_json(value), sort_keys=True)


def plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Values of parameters as plain JSON; of what is none, such as learners and functions, a text.

    >>> plain({"lr": 0.1, "activation": "relu", "layer_units": (64, 32), "norm": None})
    {'lr': 0.1, 'activation': 'relu', 'layer_units': [64, 32], 'norm': None}
    """
    return {name: _plain(value) for name, value in params.items()}


def is_plain(value: Any) -> bool:
    """Whether a value is what JSON and TOML can say.

    >>> is_plain(None), is_plain((64, 32)), is_plain(len)
    (True, True, False)
    """
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else _from_label(label(value))


def _from_label(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _reads_as_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _conditions(when: Any) -> Mapping[str, Any]:
    if not isinstance(when, Mapping) or not all(isinstance(name, str) for name in when):
        raise ParameterError(f"when is a dict of parameters and values, such as {{'norm': 'batch'}}, not {when!r}")
    return dict(when)


def _when(domain: Range | Choice) -> dict[str, Any]:
    return {"when": to_json(domain.when)} if domain.when else {}


def _told(when: Mapping[str, Any]) -> list[str]:
    return [f"when={dict(when)!r}"] if when else []
