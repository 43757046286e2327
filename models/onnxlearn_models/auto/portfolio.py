"""What is tried first: learners with settings that do well on many tables, the quick ones first."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from onnxlearn.errors import ParameterError
from onnxlearn.learner import Learner, as_learner
from onnxlearn.registry import learner
from onnxlearn.schema import Schema
from onnxlearn_models.averaging import single
from onnxlearn_models.network_learner import NetworkLearner

# Of the text of a setting in a title.
LONGEST = 20

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
    ("cnn", {"width": 16}),
    ("cnn", {}),
    ("resnet", {}),
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
    """Learners, or names of such, by a title of their own: the name, and of a second one of that name what it has else.

    >>> list(titled(["mlp", learner("mlp", lr=0.01)]))
    ['mlp', 'mlp lr=0.01']

    Raises: ParameterError for what trains no network of its own, or is there twice.
    """
    made = [single(as_learner(each), of="auto") for each in learners]
    if twice := [each for i, each in enumerate(made) if each in made[:i]]:
        raise ParameterError(f"auto tries {twice[0]!r} twice: leave one out, or give it other settings")
    found: dict[str, NetworkLearner] = {}
    for each in made:
        found[_title(each, found)] = each
    return found


def _title(learner: NetworkLearner, known: Mapping[str, NetworkLearner]) -> str:
    """Its name; of a second one also what tells it from the first, or a number."""
    if learner.name not in known:
        return learner.name
    given = {name: str(value) for name, value in learner.given.items() if value != known[learner.name].values[name]}
    title = " ".join([learner.name, *(f"{name}={text}" for name, text in given.items() if len(text) <= LONGEST)])
    numbered = (f"{learner.name} {n}" for n in itertools.count(2))
    return title if title not in known else next(each for each in numbered if each not in known)
