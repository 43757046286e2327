"""The network of a model file as its learner builds it, outside of the file, to compare speed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnxlearn.errors import OnnxlearnError, ParameterError
from onnxlearn.inference.drawn import drawn_frame
from onnxlearn.learner import Bare, Learner
from onnxlearn.model import Model
from onnxlearn.registry import learner
from onnxlearn.schema import Schema
from onnxlearn.task import Task

# To set up what a network reads from its training rows, bins for example: nothing is learned from them.
ROWS = 500
ABOUT = (
    "torch: the network alone, with weights that are not trained, on ready tensors: what the file does before and after the "
    "network is not in its times"
)

# What drawn rows may not suit, what is of the rows of the fit, and what code of one's own is likely to be: no network depends
# on it. Names, and what names of settings begin with.
_OF_TRAINING = (
    "callbacks", "class_weight", "eval_every", "measures", "monitor", "opt_", "optimizer", "oversample", "param_groups",
    "sampling", "schedule", "subsample", "validation",
)  # fmt: skip


def find_rival(model: Model) -> Bare | str:
    """The network outside of the file, or why there is none."""
    record = model.metadata["learner"]
    try:
        found = rebuilt(record).bare(Task(drawn_frame(model.schema, ROWS), _of_features(model.schema)))
    except OnnxlearnError as error:
        return str(error)
    return f"learner {record.get('name')!r} has no network" if found is None else found


def rebuilt(record: Mapping[str, Any]) -> Learner:
    """The learner that a file's metadata describes, but for what its training does with rows and with gradients.

    Raises: UnknownNameError, ParameterError, MissingExtraError.
    """
    if record.get("name") == "module":
        # A file must not decide which code is imported.
        raise ParameterError("the network is code of your own, which the file names and does not hold")
    given = {name: value for name, value in record.get("params", {}).items() if not name.startswith(_OF_TRAINING)}
    return learner(str(record.get("name")), **{name: _revived(value) for name, value in given.items()})


def _revived(value: Any) -> Any:
    if isinstance(value, str) and ":" in value:
        raise ParameterError(f"the learner has code of your own, {value}, which the file names and does not hold")
    if isinstance(value, list):
        return [_revived(each) for each in value]
    return rebuilt(value) if isinstance(value, dict) and value.keys() == {"name", "params"} else value


def _of_features(schema: Schema) -> Schema:
    """The schema without the columns of other roles, which drawn rows do not have."""
    return replace(schema, group=None, stratum=(), weight=None, order=None, id=(), ignored=(), ingress=None)
