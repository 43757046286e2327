"""Training of several networks: those of one form as one network, where that is quicker."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from onnxlearn.errors import InterruptedFit
from onnxlearn.experiments.group import in_parts
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.prepared import Prepared, own_stream
from onnxlearn_models.stacked.choice import MOST, are_stackable, form_of, is_quicker
from onnxlearn_models.stacked.together import Together
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.progress import progress_bar

if TYPE_CHECKING:
    from onnxlearn_models.network_learner import NetworkLearner

Ready: TypeAlias = "tuple[NetworkLearner, Prepared]"
"""What is to be trained, and the learner that prepared it."""


def in_groups(ready: Sequence[Ready]) -> list[list[int]]:
    """Which ones, by number, are to be trained at once: neighbours of one form, in order."""
    found: list[list[int]] = []
    for _, same in itertools.groupby(range(len(ready)), lambda i: form_of(ready[i][1])):
        numbers = list(same)
        quicker = all(is_quicker(ready[i][1], min(len(numbers), MOST)) for i in numbers)
        found += map(list, in_parts(numbers, MOST if quicker else 1))
    return found


def train_group(
    ready: Sequence[Ready],
    *,
    kept: Sequence[Path] | None = None,
    keep_on_interrupt: bool = False,
    progress: bool | None = False,
) -> list[FittedNetwork]:
    """Train those of one group, which :meth:`NetworkLearner.prepare` made; they are used up by it.

    ``kept``: for each the file that :meth:`NetworkLearner.restored` makes the same network of.

    Raises: ParameterError where the loss of one is not finite in the first epoch, InterruptedFit.
    """
    if len(ready) == 1:
        learner, prepared = ready[0]
        one = None if kept is None else kept[0]
        return [learner.train_prepared(prepared, kept=one, keep_on_interrupt=keep_on_interrupt, progress=progress)]
    max_epochs = max(prepared.config.max_epochs or 0 for _, prepared in ready)
    with progress_bar(max_epochs, show=progress) as on_epoch, ready[0][1].computing(len(ready)):
        trainings = []
        for learner, prepared in ready:
            with prepared.generators.resumed():
                trainings.append(Training(**learner.arguments(prepared, on_epoch)))
        if not (are_stackable(trainings) and _train_as_one(ready, trainings, keep_on_interrupt=keep_on_interrupt)):
            _train_in_turn(ready, trainings, keep_on_interrupt=keep_on_interrupt)
        return _ended(ready, trainings, [None] * len(ready) if kept is None else kept)


def _train_as_one(ready: Sequence[Ready], trainings: Sequence[Training], *, keep_on_interrupt: bool) -> bool:
    """Whether it was possible; if not, nothing has changed."""
    generators = [prepared.generators for _, prepared in ready]
    with own_stream():
        together = Together(trainings, [each.state for each in generators])
        if not together.start():
            return False
        together.run(keep_on_interrupt=keep_on_interrupt)
    for each, state in zip(generators, together.states, strict=True):
        each.state = state
    return True


def _train_in_turn(ready: Sequence[Ready], trainings: Sequence[Training], *, keep_on_interrupt: bool) -> None:
    for (_, prepared), training in zip(ready, trainings, strict=True):
        try:
            with prepared.generators.resumed(), prepared.computing():
                training.run(keep_on_interrupt=keep_on_interrupt)
        except InterruptedFit:
            if training is trainings[0]:
                raise
            return
        if training.stopped == "interrupted":
            return


def _ended(ready: Sequence[Ready], trainings: Sequence[Training], kept: Sequence[Path | None]) -> list[FittedNetwork]:
    """Those that were trained at least an epoch."""
    networks = []
    for (learner, prepared), training, file in zip(ready, trainings, kept, strict=True):
        if training.keeper.kept_epoch:
            with prepared.generators.resumed():
                networks.append(learner.trained(prepared, training.valid, training.result, file))
    return networks
