"""Learner ``auto``: within a time, the strong learners and settings of theirs; the best of them in one file.

Bagging by folds and greedy selection: Feurer et al. (2015), "Efficient and Robust Automated Machine Learning"; Erickson et al.
(2020), "AutoGluon-Tabular".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.learner import Learner, Reference, as_learner
from onnxlearn.measures import Measure, get
from onnxlearn.model import Model
from onnxlearn.params import param
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.task import Task
from onnxlearn.tuning.budget import Budget, budget_of
from onnxlearn.tuning.ranges import Domain, Size, require_size
from onnxlearn_models.auto.choose import Judge, choose, mean_of
from onnxlearn_models.auto.folds import Work, ready_for
from onnxlearn_models.auto.portfolio import portfolio, titled
from onnxlearn_models.auto.run import Tried, run
from onnxlearn_models.averaging import describe_network, told_of
from onnxlearn_models.fitted import FittedNetwork
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.packing import finite_scores
from onnxlearn_models.shipping import Rows, calibrated, ship, torch_reference
from onnxlearn_models.training.config import WHERE
from onnxlearn_models.training.folder import training_folder

Array = np.ndarray[Any, np.dtype[Any]]

# Of the time, this share is for the file at the end, and at least so many seconds of it.
EXPORT_SHARE, SHORTEST_EXPORT = 0.08, 3.0


@dataclass(frozen=True, kw_only=True)
class AutoConfig:
    """For how long is searched, among what, and how much may be in the file."""

    budget: str | int | Budget = param("5m", "a time, such as 10m, until the file is there; or how many learners are tried")
    learners: tuple[str | Learner, ...] | None = param(
        None, "what is tried first, in this order (None: a portfolio that suits the columns)"
    )
    space: Literal["small", "medium", "large"] | None = param(
        "medium", "which settings of the best are searched afterwards (None: nothing is)"
    )
    measure: str | Measure | None = param(None, "what they are judged by (None: logloss, or rmse)")
    n_folds: int = param(
        5, "folds, each of which is predicted by a network that has not seen it; fewer if time is short", low=2
    )
    max_members: int = param(8, "different learners in the file, at most; each has a network a fold", low=1)
    seed: int = param(0, "seed of folds, trainings and search", low=0, high=2**31)
    device: Literal["auto", "cpu", "cuda"] = param("auto", "where the networks are trained", inert=WHERE)
    n_jobs: int | None = param(
        None, "processes (None: as many as there are cores; one where there is a GPU)", low=1, inert=WHERE
    )


class Auto(Learner):
    """Tries a portfolio of learners, then settings of the best; averages those that together score best out of fold.

    Every learner is first trained without one fold, which its file predicts; the best ones get the other folds, the hopeless
    none. In the file are the networks of all folds, weighed by greedy selection on what they said of rows that they have not
    seen. A time decides how far it comes, so two runs differ; with a number of learners as budget and one process they do not.
    """

    name: ClassVar[str] = "auto"
    config_types = (AutoConfig, OutputConfig)

    def __init__(self, **params: Any) -> None:
        if isinstance(params.get("learners"), list | tuple):
            params["learners"] = tuple(map(as_learner, params["learners"]))
        super().__init__(**params)
        config: AutoConfig = self.configs[0]
        budget_of(config.budget)
        if config.learners is not None:
            if not config.learners:
                raise ParameterError("auto needs learners to try: give some, or None for its portfolio")
            for title, each in titled(config.learners).items():
                _require_validation(title, each)

    def space(self, size: Size = "medium") -> dict[str, Domain]:
        """There is none. Raises: ParameterError."""
        require_size(size)
        raise ParameterError("learner 'auto' searches by itself: give it a longer budget, or say what is searched")

    def fit(
        self,
        task: Task,
        *,
        test: Task | None = None,
        folder: str | Path | None = None,
        keep_on_interrupt: bool = False,
        progress: bool | None = None,
    ) -> Model:
        """Search until the budget is spent, put the best into one file, prove and score it.

        ``folder`` keeps what was tried: the same call goes on with it, for as long as its budget says.
        """
        self.require_tasks(task, test)
        rows = self._rows(task)
        with self._kept(folder, task) as path:
            tried = self._run(rows, path, keep_on_interrupt=keep_on_interrupt, progress=progress)
            found = self._choose(tried, rows)
            post = calibrated(found.networks, rows, self.configs[1], found.weights)
            prediction = found.judge.prediction(found.outputs, post)
            model = ship(
                found.networks, rows, post=post, learner=self, training=found.training, notes=[*task.notes, *found.notes],
                test=test, scores={"out_of_fold": finite_scores(prediction)}, weights=found.weights,
            )  # fmt: skip
        model.out_of_fold = prediction
        return model

    def reference(self, task: Task) -> Reference:
        """The weighed mean of what torch makes of rows by each network."""
        rows = self._rows(task)
        with self._kept(None, task) as path:
            found = self._choose(self._run(rows, path, progress=False), rows)
            return torch_reference(found.networks, rows, self.configs[1], found.weights)

    def _rows(self, task: Task) -> Rows:
        config, outputs = self.configs
        outputs.require(task.schema.target)
        return Rows.of(task, None, outputs, config.seed)

    @contextlib.contextmanager
    def _kept(self, folder: str | Path | None, task: Task) -> Iterator[Path]:
        """Where networks are kept, for this call alone without a folder."""
        if folder is None:
            with TemporaryDirectory(prefix="onnxlearn-") as own:
                yield Path(own)
            return
        with training_folder(folder, self, task, begun="trials/*"):
            yield Path(folder) / "trials"

    def _learners(self, task: Task) -> dict[str, NetworkLearner]:
        """The portfolio, with what stands beside it here."""
        config: AutoConfig = self.configs[0]
        outputs = {name: value for name, value in self._given.items() if hasattr(self.configs[1], name)}
        made = portfolio(task.schema) if config.learners is None else titled(config.learners)
        beside = {"device": config.device, **outputs}
        return {
            title: each.replace(seed=config.seed + each.values["seed"], **beside) for title, each in made.items()
        }  # fmt: skip

    def _run(self, rows: Rows, path: Path, *, keep_on_interrupt: bool = False, progress: bool | None = None) -> Tried:
        config: AutoConfig = self.configs[0]
        task, target = rows.train, rows.train.schema.target
        budget = budget_of(config.budget)
        learners = self._learners(task)
        for each in learners.values():
            each.require_tasks(task)
        given = config.measure or ("logloss" if target.type == "classification" else "rmse")
        measure = get(given) if isinstance(given, str) else given
        if measure.minimize is None or (measure.task != "any" and measure.task != target.type):
            raise ParameterError(
                f"measure={measure.name!r} does not tell which of two learners is better here: choose another one"
            )
        work = Work(task=task, fold_of=task.folds(config.n_folds, config.seed), outputs=self.configs[1], folder=path)
        if config.learners is not None:
            for title, each in learners.items():
                # Those that were asked for are refused before any is trained.
                with told_of(f"learner {title!r}"):
                    ready_for(each, work, 0)
        seconds = None
        if budget.seconds is not None:
            seconds = budget.seconds - max(SHORTEST_EXPORT, EXPORT_SHARE * budget.seconds)
            if seconds <= 0:
                raise ParameterError(
                    f"budget={config.budget!r} is too short: {SHORTEST_EXPORT:g} seconds are for the file alone"
                )
        return run(
            learners, work, measure, budget=budget, seconds=seconds, n_jobs=config.n_jobs, space=config.space, seed=config.seed,
            device=config.device, keep_on_interrupt=keep_on_interrupt, progress=progress,
        )  # fmt: skip

    def _choose(self, tried: Tried, rows: Rows) -> Found:
        """Weigh what was tried, and make the networks anew that count."""
        config: AutoConfig = self.configs[0]
        trials, used = tried.trials, tried.folds
        inside = np.flatnonzero(np.isin(tried.work.fold_of, used))
        order = np.argsort(np.concatenate([np.flatnonzero(tried.work.fold_of == fold) for fold in used]))
        outputs = [
            {
                name: np.concatenate([trial.folds[fold].outputs[name] for fold in used])[order]
                for name in trial.folds[used[0]].outputs
            }
            for trial in trials
        ]
        judge = tried.judge.of(rows.train.select(inside))
        chosen = choose(outputs, judge.cost, config.max_members)
        networks: list[FittedNetwork] = []
        members = []
        for position, weight in zip(chosen.trials, chosen.weights.tolist(), strict=True):
            trial = trials[position]
            for fold in used:
                member, prepared = ready_for(trial.learner, tried.work, fold)
                networks.append(member.restored(prepared, tried.work.file(trial.key, fold, "safetensors")))
                told = describe_network(member, networks[-1])
                members.append({"title": trial.title, "fold": fold + 1, "weight": weight / len(used), **told})
        weights = np.repeat(chosen.weights / len(used), len(used))
        scores = [judge.prediction(each).score(judge.measure) for each in outputs]
        whole = {trial.number: score for trial, score in zip(trials, scores, strict=True)}
        training = {
            "seed": config.seed, "n_folds": len(used), "measure": judge.measure.name, "members": members,
            "tried": tried.told(whole), "stopped": "interrupted" if tried.interrupted else "finished",
        }  # fmt: skip
        return Found(networks, weights, judge, mean_of(outputs, chosen), training, self._notes(tried, judge.measure))

    def _notes(self, tried: Tried, measure: Measure) -> list[str]:
        n_folds, n_used = self.configs[0].n_folds, len(tried.folds)
        chosen_by = (
            f"what each network counts was chosen by {measure.name} of the rows out of fold, whose scores are a little better "
            "for it than those of new rows"
        )
        notes = [chosen_by]
        if n_used < n_folds:
            notes.append(f"the time was enough for {n_used} of {n_folds} folds: the scores out of fold are of their rows")
        if tried.interrupted:
            notes.append("the search was interrupted: the file has the best of what was tried by then")
        return notes


@dataclass(frozen=True)
class Found:
    """What goes into the file: networks, what each counts, what they say out of fold, and what is told of them."""

    networks: Sequence[FittedNetwork]
    weights: Array
    judge: Judge
    outputs: Mapping[str, Array]
    training: Mapping[str, Any]
    notes: Sequence[str]


def _require_validation(title: str, learner: NetworkLearner) -> None:
    """Raise ``ParameterError`` for validation rows that mean other rows in each fold."""
    if not isinstance(learner.values["validation"], float | None):
        raise ParameterError(f"auto takes validation rows from each fold's own: give {title!r} a share, or None")
