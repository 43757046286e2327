"""What is tried first: learners with settings that do well on many tables, the quick ones first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onnxlearn.errors import ParameterError
from onnxlearn.learner import Learner, as_learner
from onnxlearn.registry import learner
from onnxlearn.schema import Schema
from onnxlearn_models.averaging import single
from onnxlearn_models.network_learner import NetworkLearner

_TABLE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("mlp", {}),
    ("linear", {}),
    ("tab_resnet", {}),
    ("mlp", {"num_embedding": "piecewise_linear"}),
    ("deep_wide", {}),
    ("realmlp", {}),
    ("tabm", {}),
    ("ft_transformer", {}),
)
_IMAGES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("cnn", {}),
    ("resnet", {}),
    ("cnn", {"width": 64}),
    ("multimodal", {}),
)
_MIXED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("multimodal", {}),
    ("multimodal", {"dropout": 0.3}),
    ("multimodal", {"lr": 1e-3}),
)


def portfolio(schema: Schema) -> dict[str, NetworkLearner]:
    """By title the learners for a table, for images, beside which there may be a table, or for anything with texts."""
    kinds = {column.kind for column in schema.features}
    entries = _MIXED if "text" in kinds else _IMAGES if "image" in kinds else _TABLE
    return titled(learner(name, **params) for name, params in entries)


def titled(learners: Iterable[str | Learner]) -> dict[str, NetworkLearner]:
    """Learners, or names of such, by a title of their own: the name, with what was given where two have one name.

    >>> list(titled(["mlp", learner("mlp", lr=0.01)]))
    ['mlp', 'mlp lr=0.01']

    Raises: ParameterError for what trains no network of its own, or is there twice.
    """
    made = [single(as_learner(each), of="auto") for each in learners]
    names = [each.name for each in made]
    titles = [each.name if names.index(each.name) == i else _title(each) for i, each in enumerate(made)]
    if twice := [title for i, title in enumerate(titles) if title in titles[:i] or made[i] in made[:i]]:
        raise ParameterError(f"auto tries {twice[0]!r} twice: leave one out, or give it other settings")
    return dict(zip(titles, made, strict=True))


def _title(found: Learner) -> str:
    return " ".join([found.name, *(f"{name}={value}" for name, value in found.given.items())])
