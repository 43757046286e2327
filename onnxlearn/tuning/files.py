"""Search spaces and found parameters as TOML files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from onnxlearn.errors import DataError, ParameterError, did_you_mean
from onnxlearn.files.outputs import atomic_path
from onnxlearn.files.toml import TomlSyntaxError, parse_toml
from onnxlearn.learner import Learner
from onnxlearn.params import to_json
from onnxlearn.tuning.ranges import Choice, Domain, Range, is_plain
from onnxlearn.tuning.space import read_none

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_OF_A_RANGE = ("low", "high", "log", "step", "when")


def read_space(path: str | Path) -> dict[str, Any]:
    """A search space: for each parameter a list of values, or ``{ low = 1e-4, high = 0.1, log = true }``.

    A condition stands beside, ``when = { norm = "batch" }``, of a list as ``{ values = [...], when = { ... } }``. A table holds
    the parameters of one of several learners. Where a parameter has no such text, ``none`` is no value.

    Raises: DataError where there is no such file, ParameterError for what is no space.
    """
    return {name: _domain_or_table(path, name, value) for name, value in _read(path).items()}


def _domain_or_table(path: str | Path, name: str, value: Any) -> Any:
    if isinstance(value, Mapping) and not {"low", "values"} & value.keys():
        return {param: _domain(path, f"{name}.{param}", domain) for param, domain in value.items()}
    return _domain(path, name, value)


def _domain(path: str | Path, name: str, value: Any) -> Domain:
    try:
        if isinstance(value, list):
            return Choice(*value)
        if isinstance(value, Mapping) and "values" in value:
            _require_keys(value, ("values", "when"))
            return Choice(*value["values"], when=value.get("when"))
        if isinstance(value, Mapping) and {"low", "high"} <= value.keys():
            _require_keys(value, _OF_A_RANGE)
            return Range(**value)
    except ParameterError as error:
        raise ParameterError(f"{path}: {name}: {error}") from None
    raise ParameterError(
        f"{path}: {name} has to be a list of values, or a range such as {{ low = 1e-4, high = 0.1, log = true }}, not {value!r}"
    )


def _require_keys(value: Mapping[str, Any], known: Iterable[str]) -> None:
    if unknown := [key for key in value if key not in known]:
        raise ParameterError(f"there is no {unknown[0]!r} here.{did_you_mean(unknown[0], known)}")


def read_params(path: str | Path) -> tuple[str | None, dict[str, Any]]:
    """The name of the learner, if the file says it, and parameters, as :func:`write_params` writes them: ``none`` for no value.

    Raises: DataError where there is no such file, ParameterError for what has no parameters.
    """
    document = _read(path)
    learner, params = document.pop("learner", None), document.pop("params", None)
    if document or not isinstance(params, Mapping) or not isinstance(learner, str | None):
        raise ParameterError(f'{path} has to have learner = "name" and the table [params] alone')
    return learner, dict(params)


def with_params(learner: Learner, params: Mapping[str, Any]) -> Learner:
    """The learner with parameters of a file; ``none`` is no value, where the parameter has no such text.

    >>> import onnxlearn as ol
    >>> made = with_params(ol.learner("mlp"), {"norm": "none", "lr": "none", "dropout": 0.1})
    >>> made.values["norm"], made.values["lr"]
    ('none', None)
    """
    return learner.replace(**{name: read_none(learner, name, value) for name, value in params.items()})


def write_params(path: str | Path, learner: Learner, comment: str = "") -> list[str]:
    """Write what a learner was given; the names of parameters that are no plain values come back, and are not written.

    >>> import tempfile
    >>> import onnxlearn as ol
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "best.toml")
    ...     _ = write_params(file, ol.learner("mlp", lr=0.01, validation=None), "found")
    ...     print(file.read_text(), read_params(file))
    # found
    learner = "mlp"
    <BLANKLINE>
    [params]
    lr = 0.01
    validation = "none"
     ('mlp', {'lr': 0.01, 'validation': 'none'})
    """
    text, left = params_toml(learner, comment)
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return left


def params_toml(learner: Learner, comment: str = "") -> tuple[str, list[str]]:
    """The text of such a file, and the names of parameters that are not in it."""
    plain = {name: value for name, value in learner.given.items() if is_plain(value)}
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += [f"learner = {json.dumps(learner.name)}", "", "[params]"]
    lines += [f"{_key(name)} = {_told(value)}" for name, value in sorted(plain.items())]
    return "\n".join(lines) + "\n", [name for name in learner.given if name not in plain]


def _read(path: str | Path) -> dict[str, Any]:
    try:
        return parse_toml(Path(path).read_text(encoding="utf-8-sig"))[0]
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror}; check the path") from error
    except TomlSyntaxError as error:
        raise ParameterError(f"{path}:{error.line}: no valid TOML: {error}") from error


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)


def _told(value: Any) -> str:
    value = "none" if value is None else to_json(value)
    return f"[{', '.join(map(_told, value))}]" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)
