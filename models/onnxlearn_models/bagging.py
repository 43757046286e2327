"""Bagging by folds: a network for each fold of a cross-validation, trained without it; all of them in one file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.learner import Learner
from onnxlearn.model import Model
from onnxlearn.params import param
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.prediction import Prediction
from onnxlearn.registry import learner
from onnxlearn.runtime import run_chunked
from onnxlearn.task import Task
from onnxlearn_models.ensemble import describe, network_learner, train_all
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.packing import finite_scores
from onnxlearn_models.shipping import Rows, export_proven, ship
from onnxlearn_models.training.split import hold_out

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class BaggingConfig:
    """Which network is trained how often; its own parameters stand beside these."""

    base: str | Learner = param("mlp", "the learner to train on each part of the rows, or its name")
    n_folds: int = param(5, "folds, and so networks", low=2)


class Bagging(Learner):
    """Learner ``bagging``: one network a fold, trained on the other folds; it has the parameters of its ``base`` too.

    Each network predicts the fold that it has not seen, neither in training nor for choosing the epoch: these predictions are
    the model's ``out_of_fold``, and the file tells their scores. They are scores of the networks one by one, each of which is
    trained on fewer rows; their mean, which is shipped, is rarely worse.
    """

    name: ClassVar[str] = "bagging"
    config_types: tuple[type, ...] = (BaggingConfig,)

    def __init__(self, **params: Any) -> None:
        base = params.get("base", "mlp")
        self.base = network_learner(learner(base) if isinstance(base, str) else base, of="bagging")
        self.config_types = (BaggingConfig, *self.base.config_types)
        # What the base was given are the defaults here.
        self.defaults = self.base.values
        super().__init__(**params)

    def fold_learners(self) -> list[NetworkLearner]:
        """The learner of each fold; their seeds follow each other.

        Raises: ParameterError for validation rows by their number, which mean other rows in each fold.
        """
        own = {name: value for name, value in self._given.items() if name not in ("base", "n_folds")}
        base = self.base.replace(**own)
        if isinstance(base.values["validation"], tuple):
            raise ParameterError("bagging takes validation rows from each fold's own: give a share, a table or None")
        return [base.replace(seed=base.values["seed"] + fold) for fold in range(self.values["n_folds"])]

    def fit(
        self, task: Task, *, test: Task | None = None, keep_on_interrupt: bool = False, progress: bool | None = None
    ) -> Model:
        """Train a network without each fold, predict the fold by the file of that network, ship the mean of them all."""
        self.require_tasks(task, test)
        learners = self.fold_learners()
        learners[0].require_tasks(task)
        outputs = OutputConfig(**{field.name: self.values[field.name] for field in dataclasses.fields(OutputConfig)})
        outputs.require(task.schema.target)
        seed = self.values["seed"]
        rows = Rows.of(task, None, outputs, seed)
        folds = rows.train.folds(len(learners), seed)
        parts = [
            hold_out(rows.train.select(folds != i), member.values["validation"], member.values["seed"])
            for i, member in enumerate(learners)
        ]
        networks = train_all(learners, parts, keep_on_interrupt=keep_on_interrupt, progress=progress)
        prediction = out_of_fold(networks, rows.train, folds)
        training = {"seed": seed, "n_folds": len(networks), **describe(learners, networks)}
        model = ship(
            networks, rows, learner=self, outputs=outputs, training=training, notes=task.notes, test=test,
            scores={"out_of_fold": finite_scores(prediction)},
        )  # fmt: skip
        model.out_of_fold = prediction
        return model


def out_of_fold(networks: Sequence[FittedNetwork], task: Task, folds: Array) -> Prediction:
    """What the file of each network says of the rows of its fold, in the task's order; without folds that have no network."""
    places, outputs = [], []
    for fold, network in enumerate(networks):
        inside = np.flatnonzero(folds == fold)
        _, opened, _ = export_proven([network], Postprocessing(), task.select(folds != fold).feeds())
        places.append(inside)
        outputs.append(run_chunked(opened.session, task.select(inside).feeds()))
    order = np.argsort(np.concatenate(places))
    whole = task.select(np.sort(np.concatenate(places)))
    return Prediction.from_outputs(
        task.schema.target,
        {name: np.concatenate([each[name] for each in outputs])[order] for name in outputs[0]},
        row_ids=whole.frame.index.to_numpy(),
        truth=whole.truth(),
        weights=whole.weights(),
    )
