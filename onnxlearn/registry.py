"""Learners by name: frozen records, found through the entry point group ``onnxlearn.learners``.

An entry point leads to a :class:`LearnerInfo`; listing them imports no learner and so no torch.
"""

from __future__ import annotations

import functools
import importlib
import sys
from dataclasses import dataclass
from typing import Any, Literal

from onnxlearn.errors import MissingExtraError, OnnxlearnError, ParameterError, UnknownNameError
from onnxlearn.learner import Learner

GROUP = "onnxlearn.learners"


@dataclass(frozen=True, kw_only=True)
class LearnerInfo:
    """What is known of a learner before it is imported.

    ``target`` is ``module:attribute`` of the Learner class, ``source`` the paper or project it follows. ``needs`` are the
    optional packages that it imports and ``extra`` the extra that brings them.
    """

    name: str
    target: str
    summary: str
    source: str
    tasks: tuple[Literal["classification", "regression"], ...] = ("classification", "regression")
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
        cls = getattr(importlib.import_module(module), attribute)
        if not (isinstance(cls, type) and issubclass(cls, Learner)):
            raise OnnxlearnError(f"learner {self.name!r}: {self.target} has to be a Learner class, not {cls!r}")
        return cls


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec

    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None


@functools.cache
def learner_infos() -> dict[str, LearnerInfo]:
    """All registered learners by name. Two under one name are an error that names both packages."""
    # Here and not at the top: it costs half of what `import onnxlearn` may cost.
    from importlib.metadata import entry_points

    found: dict[str, LearnerInfo] = {}
    origin: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if found.get(point.name) is not None and origin[point.name] == point.value:
            continue
        if point.name in found:
            raise OnnxlearnError(f"two packages register the learner {point.name!r}: {origin[point.name]} and {point.value}")
        found[point.name] = point.load()
        origin[point.name] = point.value
    return found


def learner_info(name: str) -> LearnerInfo:
    """The record of a learner; ``UnknownNameError`` with the nearest name where there is none."""
    infos = learner_infos()
    if name not in infos:
        raise UnknownNameError.of("learner", name, infos)
    return infos[name]


def learner(name: str, **params: Any) -> Learner:
    """A learner by name, with parameters as keyword arguments.

    Raises: UnknownNameError, ParameterError, MissingExtraError.
    """
    if not isinstance(name, str):
        raise ParameterError(
            f"a learner is called by its name, not by a {type(name).__name__}; for a network of your own subclass "
            "onnxlearn_models.network_learner.NetworkLearner"
        )
    return learner_info(name).load()(**params)
