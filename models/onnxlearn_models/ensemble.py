"""Ensembles: several networks in one file, whose probabilities or predictions are averaged.

Averaging networks that differ by their seed alone: Lakshminarayanan, Pritzel and Blundell (2017), "Simple and Scalable
Predictive Uncertainty Estimation using Deep Ensembles". Averaging the networks of a cross-validation: Parmanto, Munro and
Doyle (1996), "Reducing variance of committee prediction with resampling techniques"; AutoGluon calls it bagging.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pandas as pd

from onnxlearn.errors import InterruptedFit, ParameterError, listing
from onnxlearn.learner import Learner
from onnxlearn.model import Model
from onnxlearn.params import param
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.registry import learner
from onnxlearn.task import Task
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.shipping import Rows, ship, summary
from onnxlearn_models.training.config import plain_validation


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """Which networks are averaged. What stands here besides is the same for all of them."""

    members: tuple[str | Learner, ...] = param(("mlp", "realmlp", "tabm"), "learners, or names of learners with their defaults")
    n_seeds: int = param(1, "networks of each member, which differ by their seed", low=1)
    validation: float | tuple[int, ...] | pd.DataFrame | None = param(
        0.15, "what chooses the epoch of every member: a share of the rows, their numbers, a table, or None", low=0,
        low_open=True, high=0.9,
    )  # fmt: skip
    max_epochs: int | None = param(None, "passes over the training rows at most (None: each member's own)", low=1)
    seed: int = param(0, "added to the seeds of the members; seed of the validation rows", low=0, high=2**31)
    device: Literal["auto", "cpu", "cuda"] = param("auto", "where the networks are trained", recorded=False)
    n_threads: int | None = param(None, "threads of training (None: each member's own)", low=1, recorded=False)


class Ensemble(Learner):
    """Learner ``ensemble``: networks of different kinds or seeds, trained on the same rows."""

    name: ClassVar[str] = "ensemble"
    config_types = (EnsembleConfig, OutputConfig)

    def __init__(self, **params: Any) -> None:
        if "validation" in params:
            params["validation"] = plain_validation(params["validation"])
        super().__init__(**params)

    def members(self) -> list[NetworkLearner]:
        """The learners to train, one for each network.

        Raises: ParameterError for members that are no networks, ask for what only a file can have, or are there twice.
        """
        config, outputs = self.configs
        made = [learner(member) if isinstance(member, str) else member for member in config.members]
        if not made:
            raise ParameterError("an ensemble needs members: give learners or their names")
        networks = [network_learner(member, of="ensemble") for member in made]
        given = {name: getattr(config, name) for name in ("max_epochs", "n_threads") if getattr(config, name) is not None}
        if config.device != "auto":
            given["device"] = config.device
        seeded = [
            member.replace(
                **given, head=outputs.head, quantiles=outputs.quantiles, seed=config.seed + member.values["seed"] + i
            )
            for member in networks
            for i in range(config.n_seeds)
        ]
        if len(set(seeded)) < len(seeded):
            raise ParameterError("an ensemble has a member twice, which adds nothing: give the learners different seeds")
        return seeded

    def fit(
        self, task: Task, *, test: Task | None = None, keep_on_interrupt: bool = False, progress: bool | None = None
    ) -> Model:
        """Train every member on the same rows, average them in one file, prove and score it."""
        self.require_tasks(task, test)
        config, outputs = self.configs
        outputs.require(task.schema.target)
        members = self.members()
        for member in members:
            member.require_tasks(task)
        rows = Rows.of(task, config.validation, outputs, config.seed)
        parts = [(rows.train, rows.valid)] * len(members)
        networks = train_all(members, parts, keep_on_interrupt=keep_on_interrupt, progress=progress)
        training = {"seed": config.seed, **describe(members, networks)}
        return ship(networks, rows, learner=self, outputs=outputs, training=training, notes=task.notes, test=test)


def train_all(
    learners: Sequence[NetworkLearner],
    parts: Sequence[tuple[Task, Task | None]],
    *,
    keep_on_interrupt: bool,
    progress: bool | None,
) -> list[FittedNetwork]:
    """One network after the other, each on its rows to train and to choose the epoch by.

    After an interruption that is to be kept: those that were trained at least an epoch.
    """
    networks: list[FittedNetwork] = []
    for member, (train, valid) in zip(learners, parts, strict=True):
        try:
            networks.append(member.train(train, valid, keep_on_interrupt=keep_on_interrupt, progress=progress))
        except InterruptedFit:
            if not networks:
                raise
            break
        if networks[-1].result.stopped == "interrupted":
            break
    return networks


def describe(learners: Sequence[NetworkLearner], networks: Sequence[FittedNetwork]) -> dict[str, Any]:
    """What the metadata says of the training of each network."""
    members = [
        {"learner": member.name, "chosen": network.chosen, **summary(network.result)}
        for member, network in zip(learners, networks, strict=False)
    ]
    interrupted = len(networks) < len(learners) or any(member["stopped"] == "interrupted" for member in members)
    return {"members": members, "stopped": "interrupted" if interrupted else "finished"}


def network_learner(member: Learner, of: Literal["ensemble", "bagging"]) -> NetworkLearner:
    """The learner, if its networks can share a file with others. Raises: ParameterError."""
    if not isinstance(member, NetworkLearner):
        raise ParameterError(
            f"learner {member.name!r} trains no network of its own: {of} averages networks; name a learner that trains one"
        )
    asked = [
        name
        for field in dataclasses.fields(OutputConfig)
        if (name := field.name) not in ("head", "quantiles", "calibration") and member.values[name] != field.default
    ]
    if further := member.further_outputs():
        raise ParameterError(
            f"learner {member.name!r} gives {listing(further)}, which is of one network alone: leave it out, or fit that alone"
        )
    if asked:
        raise ParameterError(
            f"learner {member.name!r} has {listing(asked)}, which only a whole file has: give it to {of} itself"
        )
    return member
