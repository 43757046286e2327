"""Learners by name: frozen records, found through the entry point group ``onnxlearn.learners``.

An entry point leads to a :class:`LearnerInfo`; listing them imports no learner and so no torch.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from onnxlearn.errors import MissingExtraError, OnnxlearnError, ParameterError, UnknownNameError
from onnxlearn.learner import Learner, TaskType
from onnxlearn.schema import Kind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "onnxlearn.learners"


@dataclass(frozen=True, kw_only=True)
class LearnerInfo:
    """What is known of a learner before it is imported.

    ``target`` is ``module:attribute`` of the Learner class, ``summary`` what it is, ``use`` when to choose it, ``source`` the
    paper or project it follows; ``kinds`` are the kinds of column that it takes, ``needs_kind`` one without which it fits
    nothing. ``out_of_fold``: a model that it just fitted has predictions of rows by networks that have not seen them. ``needs``
    are the optional packages that it imports and ``extra`` the extra that brings them.
    """

    name: str
    target: str
    summary: str
    source: str
    use: str = ""
    tasks: tuple[TaskType, ...] = ("classification", "regression")
    kinds: tuple[Kind, ...] = ("numeric", "categorical", "ordered", "boolean", "datetime")
    needs_kind: Kind | None = None
    out_of_fold: bool = False
    needs: tuple[str, ...] = ("torch", "onnx")
    extra: str = "train"

    def require(self) -> None:
        """``MissingExtraError`` with the pip command where a package is missing; nothing is imported to find out."""
        for package in self.needs:
            if not _is_installed(package):
                raise MissingExtraError.of(package, self.extra, f"learner {self.name!r}")

    def load(self) -> type[Learner]:
        """Import the class; a missing package is an error with the pip command."""
        self.require()
        module, _, attribute = self.target.partition(":")
        try:
            cls = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise OnnxlearnError(f"learner {self.name!r}: {self.target} cannot be imported: {reason}") from error
        if not (isinstance(cls, type) and issubclass(cls, Learner)):
            raise OnnxlearnError(f"learner {self.name!r}: {self.target} has to be a Learner class, not {cls!r}")
        return cls


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec

    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None


def learner_infos() -> dict[str, LearnerInfo]:
    """All registered learners that can be had, by name; :func:`broken_learners` has the others."""
    return _scan()[0]


def broken_learners() -> dict[str, str]:
    """Why a registered learner cannot be had, by name: its package is broken, or another one has the same name."""
    return _scan()[1]


@functools.cache
def _scan() -> tuple[dict[str, LearnerInfo], dict[str, str]]:
    # Here and not at the top: it costs half of what `import onnxlearn` may cost.
    from importlib.metadata import entry_points

    # A package that is found twice, in a checkout and installed, has the same entry points twice.
    places: dict[str, dict[str, EntryPoint]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        places.setdefault(point.name, {}).setdefault(point.value, point)
    found: dict[str, LearnerInfo] = {}
    broken: dict[str, str] = {}
    for name, points in places.items():
        try:
            found[name] = _read(name, points)
        except OnnxlearnError as error:
            # One broken package must not take the other learners along: it is told to those who ask for it.
            broken[name] = str(error)
    return found, broken


def _read(name: str, points: dict[str, EntryPoint]) -> LearnerInfo:
    if len(points) > 1:
        values = " and ".join(points)
        raise OnnxlearnError(f"two packages register the learner {name!r}: {values}; uninstall one of them")
    value, point = next(iter(points.items()))
    package = point.dist.name if point.dist else point.module
    way_out = f"mend or uninstall the package {package}"
    try:
        info = point.load()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise OnnxlearnError(f"learner {name!r} cannot be had: {value} fails with {reason}; {way_out}") from error
    if not isinstance(info, LearnerInfo):
        raise OnnxlearnError(f"learner {name!r} cannot be had: {value} has to be a LearnerInfo, not {info!r}; {way_out}")
    return info


def learner_info(name: str) -> LearnerInfo:
    """The record of a learner; ``UnknownNameError`` with the nearest name where there is none.

    ``OnnxlearnError`` with package and reason where it is registered and cannot be had.
    """
    infos = learner_infos()
    if name in broken_learners():
        raise OnnxlearnError(broken_learners()[name])
    if name not in infos:
        raise UnknownNameError.of("learner", name, infos)
    return infos[name]


class LearnerMaker(Protocol):
    """What a learner can be made of, such as a graph of layers."""

    def as_learner(self, **params: Any) -> Learner:
        """The learner around it."""


def learner(what: str | Callable[..., Any] | LearnerMaker, /, **params: Any) -> Learner:
    """A learner by name, with parameters as keyword arguments, or around a network of your own.

    ``what``: the name; a graph of layers (learner ``graph``); or a function that makes a network, an ``nn.Module`` class or an
    instance of one (learner ``module``), itself or by the text ``package.module:name``. A learner class, registered or not, may
    stand there too.

    Raises: UnknownNameError, ParameterError, MissingExtraError.
    """
    if isinstance(what, str) and ":" not in what:
        return learner_info(what).load()(**params)
    target = _imported(what) if isinstance(what, str) else what
    if hasattr(target, "as_learner"):
        # A graph of layers.
        made: Learner = target.as_learner(**params)
        return made
    if isinstance(target, type) and issubclass(target, Learner):
        return target(**params)
    if not callable(target):
        named = f"{what} is" if isinstance(what, str) else "this is"
        raise ParameterError(
            "a learner is made from its name, or from a function, a class or an instance of a network; "
            f"{named} a value of type {type(target).__name__}"
        )
    if "module" in params:
        raise ParameterError("the network is given twice, as the first argument and as module=: leave one of them out")
    return learner_info("module").load()(module=target, **params)


def _imported(text: str) -> Any:
    # Here and not at the top, like the entry points.
    from onnxlearn.named import named_object

    return named_object(text)
