"""Ensembles: several networks in one file, whose probabilities or predictions are averaged.

Averaging networks that differ by their seed alone: Lakshminarayanan, Pritzel and Blundell (2017), "Simple and Scalable
Predictive Uncertainty Estimation using Deep Ensembles". Averaging the networks of a cross-validation: Parmanto, Munro and
Doyle (1996), "Reducing variance of committee prediction with resampling techniques"; AutoGluon calls it bagging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from onnxlearn.errors import ParameterError
from onnxlearn.learner import Bare, Learner, Reference, as_learner
from onnxlearn.model import Model
from onnxlearn.params import param, to_json
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.task import Task
from onnxlearn.tuning.ranges import Domain, Size, require_size
from onnxlearn_models.averaging import Averaging, Part, cut_short, describe, single, told_of, train_all
from onnxlearn_models.bare import bare_networks
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.shipping import Rows, calibrated, ship, torch_reference
from onnxlearn_models.spaces import space_of
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.callbacks.named import callback_of
from onnxlearn_models.training.config import WHERE, plain_validation
from onnxlearn_models.training.folder import training_folder


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig:
    """Which networks are averaged. What stands here besides is the same for all of them."""

    members: tuple[str | Learner, ...] = param(
        ("mlp", "realmlp", "tab_resnet"), "learners, or names of learners with their defaults"
    )
    n_seeds: int = param(1, "networks of each member, which differ by their seed", low=1)
    validation: float | Literal["test"] | tuple[int, ...] | pd.DataFrame | None = param(
        0.15, "what chooses the epoch of every member: a share of the rows, their numbers, a table, the test rows, or None",
        low=0, low_open=True, high=0.9,
    )  # fmt: skip
    max_epochs: int | None = param(None, "passes over the training rows at most (None: each member's own)", low=1)
    seed: int = param(0, "added to the seeds of the members; seed of the validation rows", low=0, high=2**31)
    callbacks: tuple[Callback | str, ...] = param((), "what stands beside the steps of each member (none: each member's own)")
    device: Literal["auto", "cpu", "cuda"] = param("auto", "where the networks are trained", inert=WHERE)
    n_threads: int | None = param(None, "threads of training (None: each member's own)", low=1, inert=WHERE)

    def __post_init__(self) -> None:
        """Callbacks that are named become callbacks. Raises: ParameterError, UnknownNameError."""
        object.__setattr__(self, "callbacks", tuple(callback_of(each) for each in self.callbacks))


class Ensemble(Averaging):
    """Learner ``ensemble``: networks of different kinds or seeds, trained on the same rows.

    A member whose loss is not finite in its first epoch ends the fit: what was asked for is a mean of all members.
    """

    name: ClassVar[str] = "ensemble"
    parts = "members"
    config_types = (EnsembleConfig, OutputConfig)

    def __init__(self, **params: Any) -> None:
        if "validation" in params:
            params["validation"] = plain_validation(params["validation"])
        if isinstance(params.get("members"), list | tuple):
            params["members"] = tuple(map(as_learner, params["members"]))
        super().__init__(**params)
        for number, what in enumerate(self.configs[0].members, start=1):
            with told_of(f"member {number}"):
                single(what, of=self.name)

    def members(self) -> list[NetworkLearner]:
        """The learners to train, one for each network.

        Raises: ParameterError for members that are no networks, differ from the ensemble in what is the same for all of them,
        or are there twice.
        """
        config = self.configs[0]
        if not config.members:
            raise ParameterError("an ensemble needs members: give learners or their names")
        of_all = self._of_all()
        seeded: list[NetworkLearner] = []
        for number, what in enumerate(config.members, start=1):
            with told_of(f"member {number}"):
                member = single(what, of=self.name)
                _require_same(member, of_all)
                first = config.seed + member.values["seed"]
                seeded += [member.replace(**of_all, seed=first + i) for i in range(config.n_seeds)]
        self._require_different(seeded)
        return seeded

    def space(self, size: Size = "medium") -> dict[str, Domain]:
        """As of every learner: which members, and of how many seeds."""
        require_size(size)
        return space_of(self.name, size)

    def fit(
        self,
        task: Task,
        *,
        test: Task | None = None,
        folder: str | Path | None = None,
        keep_on_interrupt: bool = False,
        progress: bool | None = None,
    ) -> Model:
        """Train every member on the same rows, average them in one file, prove and score it."""
        self.require_tasks(task, test)
        config, outputs = self.configs
        outputs.require(task.schema.target)
        rows = Rows.of(task, config.validation, outputs, config.seed, test)
        parts = self._parts(rows)
        networks = train_all(
            parts,
            files=training_folder(folder, self, task, test),
            keep_on_interrupt=keep_on_interrupt,
            progress=progress,
        )
        training = {"seed": config.seed, **describe(parts, networks)}
        post = calibrated(networks, rows, outputs)
        notes = (*task.notes, *cut_short(parts, networks))
        return ship(networks, rows, post=post, learner=self, training=training, notes=notes, test=test)

    def reference(self, task: Task) -> Reference:
        """The mean of what torch makes of rows by every member."""
        config, outputs = self.configs
        rows = Rows.of(task, config.validation, outputs, config.seed)
        return torch_reference(train_all(self._parts(rows), progress=False), rows, outputs)

    def bare(self, task: Task) -> Bare:
        """The networks of all members."""
        return bare_networks([member.begun(task) for member in self.members()])

    def _parts(self, rows: Rows) -> list[Part]:
        return [
            Part(f"member {self._number(i)}, {member.name!r}", member, rows.train, rows.valid)
            for i, member in enumerate(self.members())
        ]

    def _of_all(self) -> dict[str, Any]:
        """What is the same for all members; without what is left to each of them."""
        left = {"max_epochs": None, "n_threads": None, "device": "auto", "callbacks": ()}
        of_all = {name: value for name, value in self.values.items() if name not in ("members", "n_seeds", "seed")}
        return {name: value for name, value in of_all.items() if name not in left or value != left[name]}

    def _number(self, network: int) -> int:
        """Which of the members, from 1, a network belongs to."""
        return 1 + network // int(self.values["n_seeds"])

    def _require_different(self, seeded: Sequence[NetworkLearner]) -> None:
        first: dict[NetworkLearner, int] = {}
        for i, member in enumerate(seeded):
            if (same := first.setdefault(member, i)) != i:
                n_seeds, seed = self.values["n_seeds"], member.values["seed"]
                by = f" by n_seeds={n_seeds} or more, since each has {n_seeds} seeds in a row" if n_seeds > 1 else ""
                raise ParameterError(
                    f"an ensemble has a member twice, which adds nothing: members {self._number(same)} and {self._number(i)} "
                    f"are both {member.name!r} with seed {seed}; let their seeds differ{by}"
                )


def _require_same(member: NetworkLearner, of_all: Mapping[str, Any]) -> None:
    """Raise ``ParameterError`` where the member was given another value of what the ensemble sets for all."""
    for name, value in member.given.items():
        if name in of_all and to_json(value) != to_json(of_all[name]):
            raise ParameterError(
                f"learner {member.name!r} has {name}={to_json(value)!r}, and {name} is the same for all members, here "
                f"{to_json(of_all[name])!r}: give it to the ensemble itself"
            )
