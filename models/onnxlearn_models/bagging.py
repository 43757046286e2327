"""Bagging by folds: a network for each fold of a cross-validation, trained without it; all of them in one file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.learner import Bare, Learner, Reference, as_learner
from onnxlearn.model import Model
from onnxlearn.params import param
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.prediction import Prediction
from onnxlearn.session import run_chunked
from onnxlearn.task import Task
from onnxlearn.tuning.ranges import Domain, Size
from onnxlearn_models.averaging import Averaging, Part, cut_short, describe, single, told_of, train_all
from onnxlearn_models.bare import bare_networks
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.packing import finite_scores
from onnxlearn_models.shipping import Rows, calibrated, export_proven, ship, torch_reference
from onnxlearn_models.training.config import CHOICES, is_setting, plain
from onnxlearn_models.training.folder import training_folder
from onnxlearn_models.training.split import hold_out

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class BaggingConfig:
    """Which network is trained how often; its own parameters stand beside these."""

    base: str | Learner = param("mlp", "the learner to train on each part of the rows, or its name")
    n_folds: int = param(5, "folds, and so networks", low=2)


class Bagging(Averaging):
    """Learner ``bagging``: one network a fold, trained on the other folds; it has the parameters of its ``base`` too.

    Each network predicts the fold that it has not seen, neither in training nor for choosing the epoch: these predictions are
    the model's ``out_of_fold``, and the file tells their scores. They are scores of the networks one by one, each of which is
    trained on fewer rows; their mean, which is shipped, is rarely worse. What is calibrated was calibrated behind that mean,
    on rows of no fold, and stands behind each of them too.

    Folds follow each other in the order of a task that has one. All networks but the last have then seen later rows than
    those that they predict: how well the future is predicted, only a test of the latest rows tells.
    """

    name: ClassVar[str] = "bagging"
    parts = "base"
    config_types: tuple[type, ...] = (BaggingConfig,)

    def __init__(self, **params: Any) -> None:
        params = plain(params)
        base = params["base"] = as_learner(params.get("base", "mlp"))
        self.base = single(base, of=self.name)
        # What is chosen here for all networks brings its own settings, as a graph does.
        brings = {name: value for name, value in params.items() if name in (*CHOICES, "graph") or is_setting(name)}
        chosen = self.base.replace(**brings)
        self.config_types = (BaggingConfig, *chosen.config_types)
        # What the base was given are the defaults here.
        self.defaults, self.without = chosen.values, chosen.without
        super().__init__(**params)
        single(self._member(), of=self.name)

    def may_bring(self, name: str) -> bool:
        """Whether it may be a parameter of another base: any name may."""
        del name
        return True

    def space(self, size: Size = "medium") -> dict[str, Domain]:
        """As of its base."""
        return self.base.space(size)

    def fold_learners(self) -> list[NetworkLearner]:
        """The learner of each fold; their seeds follow each other.

        Raises: ParameterError for validation rows by their number, which mean other rows in each fold.
        """
        base = self._member()
        if isinstance(base.values["validation"], tuple):
            raise ParameterError("bagging takes validation rows from each fold's own: give a share, a table or None")
        return [base.replace(seed=base.values["seed"] + fold) for fold in range(self.values["n_folds"])]

    def _member(self) -> NetworkLearner:
        """The base with what was given beside it."""
        return self.base.replace(**{name: value for name, value in self._given.items() if name not in ("base", "n_folds")})

    def fit(
        self,
        task: Task,
        *,
        test: Task | None = None,
        folder: str | Path | None = None,
        keep_on_interrupt: bool = False,
        progress: bool | None = None,
    ) -> Model:
        """Train a network without each fold, predict the fold by the file of that network, ship the mean of them all."""
        self.require_tasks(task, test)
        outputs, seed = self._outputs(), self.values["seed"]
        outputs.require(task.schema.target)
        rows = Rows.of(task, None, outputs, seed)
        folds, parts = self._parts(rows, test)
        networks = train_all(
            parts,
            files=training_folder(folder, self, task, test),
            keep_on_interrupt=keep_on_interrupt,
            progress=progress,
        )
        post = calibrated(networks, rows, outputs)
        prediction = out_of_fold(networks, post, rows.train, folds)
        training = {"seed": seed, "n_folds": len(networks), **describe(parts, networks)}
        notes = [*task.notes, *cut_short(parts, networks)]
        if len(prediction) < rows.train.n_rows:
            notes.append(f"the scores out of fold are of {len(prediction):,} of {rows.train.n_rows:,} rows")
        if task.schema.order is not None:
            notes.append(_order_note(task.schema.order))
        model = ship(
            networks, rows, post=post, learner=self, training=training, notes=notes, test=test,
            scores={"out_of_fold": finite_scores(prediction)},
        )  # fmt: skip
        model.out_of_fold = prediction
        return model

    def reference(self, task: Task) -> Reference:
        """The mean of what torch makes of rows by the network of every fold."""
        outputs = self._outputs()
        rows = Rows.of(task, None, outputs, self.values["seed"])
        return torch_reference(train_all(self._parts(rows)[1], progress=False), rows, outputs)

    def _outputs(self) -> OutputConfig:
        return OutputConfig(**{field.name: self.values[field.name] for field in dataclasses.fields(OutputConfig)})

    def bare(self, task: Task) -> Bare:
        """The networks of all folds."""
        return bare_networks([member.begun(task) for member in self.fold_learners()])

    def _parts(self, rows: Rows, test: Task | None = None) -> tuple[Array, list[Part]]:
        """The fold of each row, and a network to train for each fold."""
        learners, parts = self.fold_learners(), []
        folds = rows.train.folds(len(learners), self.values["seed"])
        for fold, member in enumerate(learners):
            title = f"fold {fold + 1} of {len(learners)}"
            with told_of(title):
                validation, seed = member.values["validation"], member.values["seed"]
                held_out = hold_out(rows.train.select(folds != fold), validation, seed, test)
            parts.append(Part(title, member, *held_out))
        return folds, parts


def out_of_fold(networks: Sequence[FittedNetwork], post: Postprocessing, task: Task, folds: Array) -> Prediction:
    """What the file of each network says of the rows of its fold, in the task's order; without folds that have no network."""
    places, outputs = [], []
    for fold, network in enumerate(networks):
        inside = np.flatnonzero(folds == fold)
        _, opened, _ = export_proven([network], post, task.select(folds != fold).feeds())
        places.append(inside)
        outputs.append(run_chunked(opened.session, task.select(inside).feeds()))
    order = np.argsort(np.concatenate(places))
    whole = task.select(np.sort(np.concatenate(places)))
    return Prediction.from_outputs(
        task.schema.target,
        {name: np.concatenate([each[name] for each in outputs])[order] for name in outputs[0]},
        row_ids=whole.row_ids,
        truth=whole.truth(),
        weights=whole.weights(),
        axes=post.axes(),
    )


def _order_note(column: str) -> str:
    return (
        f"folds follow each other by {column!r}: networks of early folds have seen later rows than those that they predict, so "
        "out-of-fold scores do not tell how well the future is predicted; a test of the latest rows does"
    )
