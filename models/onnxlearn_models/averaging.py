"""What learners share whose files average several networks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from onnxlearn.errors import InterruptedFit, OnnxlearnError, ParameterError, listing
from onnxlearn.learner import Learner
from onnxlearn.params import to_json
from onnxlearn.parts import part_of
from onnxlearn.registry import learner
from onnxlearn.task import Task
from onnxlearn_models.arguments import title
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.many import Ready, in_groups, train_group
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.shipping import summary
from onnxlearn_models.training.folder import Files, no_file


class Averaging(Learner):
    """A learner whose file averages several networks. ``parts``: the parameter that names those that it trains."""

    parts: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """As of every learner; of the learners in it what each was given: the rest is theirs or stands beside them.

        All parameters of each network are in the metadata's ``training``.
        """
        document = super().to_dict()
        document["params"][self.parts] = _recipe(self.values[self.parts])
        return document


def _recipe(what: Any) -> Any:
    """A learner, or its name, as its name and what it was given."""
    if isinstance(what, tuple | list):
        return [_recipe(each) for each in what]
    if isinstance(what, Learner):
        # Without what only says where and how to compute.
        recorded = what.to_dict()["params"]
        return {"name": what.name, "params": {name: to_json(value) for name, value in what.given.items() if name in recorded}}
    return {"name": what, "params": {}}


@dataclass(frozen=True)
class Part:
    """One network to train: what a message calls it, its learner, its rows and those that choose its epoch."""

    title: str
    learner: NetworkLearner
    train: Task
    valid: Task | None


def single(what: str | Learner, of: str) -> NetworkLearner:
    """The learner, if its network can share the file of learner ``of`` with others. Raises: ParameterError."""
    found = learner(what) if isinstance(what, str) else what
    if not isinstance(found, Learner):
        own = f"; of a network of your own ol.learner({title(what)})" if callable(what) else ""
        raise ParameterError(f"{of} takes learners and names of learners, not {what!r}{own}")
    if isinstance(found, Averaging):
        raise ParameterError(
            f"learner {found.name!r} averages several networks itself, and {of} takes learners of one network: give "
            f"{'its' if of == found.name or of == 'ensemble' else 'one of its'} {found.parts} here"
        )
    if not isinstance(found, NetworkLearner):
        raise ParameterError(
            f"learner {found.name!r} trains no network of its own: {of} averages networks; name a learner that trains one"
        )
    if further := found.further_outputs():
        raise ParameterError(
            f"learner {found.name!r} gives {listing(further)}, which is of one network alone: leave it out, or fit that alone"
        )
    return found


def train_all(
    parts: Sequence[Part],
    *,
    files: AbstractContextManager[Files] | None = None,
    keep_on_interrupt: bool = False,
    progress: bool | None = None,
) -> list[FittedNetwork]:
    """Those of one form at once where that is quicker, else one after the other; refused is before the first is trained.

    ``files``: where they keep their checkpoints; those that do are trained one after the other. After an interruption that is
    to be kept: those that were trained at least an epoch.
    """
    ready = [_prepare(part) for part in parts]
    networks: list[FittedNetwork] = []
    with files or contextlib.nullcontext(no_file) as file_of:
        for group in in_groups(ready) if file_of is no_file else [[i] for i in range(len(parts))]:
            train = partial(_train, parts, ready, group, file_of)
            try:
                networks += train(keep_on_interrupt=keep_on_interrupt, progress=progress)
            except InterruptedFit:
                if not networks:
                    raise
                break
            if any(network.result.stopped == "interrupted" for network in networks):
                break
    return networks


def _prepare(part: Part) -> Ready:
    with told_of(part.title):
        part.learner.require_tasks(part.train)
        return part.learner, part.learner.prepare(part.train, part.valid)


def _train(
    parts: Sequence[Part],
    ready: Sequence[Ready],
    group: Sequence[int],
    file_of: Files,
    *,
    keep_on_interrupt: bool,
    progress: bool | None,
) -> list[FittedNetwork]:
    """Those of one group, by their numbers."""
    if len(group) > 1:
        with contextlib.suppress(ParameterError):
            return train_group([ready[i] for i in group], keep_on_interrupt=keep_on_interrupt, progress=progress)
    networks = []
    for i in group:
        # Where something is wrong with one of a group, one by one the error says which; the group has used them up.
        learner, prepared = ready[i] if len(group) == 1 else _prepare(parts[i])
        train = partial(learner.train_prepared, prepared, checkpoint=file_of(i + 1))
        with told_of(parts[i].title):
            networks.append(train(keep_on_interrupt=keep_on_interrupt, progress=progress))
        if networks[-1].result.stopped == "interrupted":
            break
    return networks


@contextlib.contextmanager
def told_of(title: str) -> Iterator[None]:
    """What is done inside is for one of several, which errors name.

    >>> with told_of("member 2"):
    ...     raise ParameterError("lr is too high")
    Traceback (most recent call last):
    onnxlearn.errors.ParameterError: member 2: lr is too high
    """
    try:
        with part_of(title):
            yield
    except OnnxlearnError as error:
        error.args = (f"{title}: {error}",)
        raise


def describe(parts: Sequence[Part], networks: Sequence[FittedNetwork]) -> dict[str, Any]:
    """What the metadata says of the training of each network."""
    members = [describe_network(part.learner, network) for part, network in zip(parts, networks, strict=False)]
    interrupted = len(networks) < len(parts) or any(member["stopped"] == "interrupted" for member in members)
    return {"members": members, "stopped": "interrupted" if interrupted else "finished"}


def describe_network(learner: NetworkLearner, network: FittedNetwork) -> dict[str, Any]:
    """What the metadata says of one of several."""
    params = learner.to_dict()["params"]
    return {"learner": learner.name, "params": params, "chosen": network.chosen, **summary(network.result)}


def cut_short(parts: Sequence[Part], networks: Sequence[FittedNetwork]) -> list[str]:
    """What the notes of the model say of networks that an interruption left out."""
    n, left = len(networks), len(parts) - len(networks)
    return [f"training was interrupted: {n} of {n + left} networks are in the file"] if left else []
