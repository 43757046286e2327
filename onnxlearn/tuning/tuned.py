"""A learner that tunes itself: a search on the training rows, then a fit of the best that it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from onnxlearn.errors import ParameterError
from onnxlearn.learner import Learner, as_learner
from onnxlearn.measures import Measure
from onnxlearn.model import Model
from onnxlearn.params import param, to_json
from onnxlearn.registry import learner as make_learner
from onnxlearn.resampling import Resampling
from onnxlearn.task import Task
from onnxlearn.tuning.budget import Budget, budget_of
from onnxlearn.tuning.ranges import Choice, Range
from onnxlearn.tuning.result import Tuning
from onnxlearn.tuning.space import Space
from onnxlearn.tuning.tune import tune


@to_json.register
def _(domain: Range | Choice) -> str:
    return repr(domain)


@dataclass(frozen=True, kw_only=True)
class TunedConfig:
    """Which learner is tuned, over what, by which scores, and for how long."""

    base: str | Learner = param("mlp", "the learner that is tuned, or its name")
    space: Mapping[str, Any] | Literal["small", "medium", "large"] = param(
        "medium", "what its parameters may be: ranges and choices by name, or the size of the ready space"
    )
    resampling: Resampling | None = param(None, "how a trial is scored on the training rows (None: three folds)")
    measure: str | Measure | None = param(None, "what is searched by (None: logloss, or rmse)")
    budget: str | int | Budget = param(30, "when the search ends: a number of trials, a time such as 10m, or an ol.Budget")
    sampler: Literal["tpe", "random", "grid", "cmaes"] = param("tpe", "how points of the space are chosen")
    pruner: Literal["hyperband", "halving", "median"] | None = param(None, "what stops hopeless trials")
    epochs: Literal["found", "searched"] = param(
        "found", "the last fit is on all rows for the epochs that the best trial was best after, or chooses them anew"
    )
    seed: int = param(0, "seed of the search", low=0, high=2**31)


class Tuned(Learner):
    """Every fit searches anew, on the rows that it is given; so its resampling is nested by itself.

    The model is that of the learner that was found, and tells the search in ``metadata["training"]["tuning"]``. ``folder``
    keeps the search, which goes on there.
    """

    name: ClassVar[str] = "tuned"
    config_types = (TunedConfig,)

    def __init__(self, **params: Any) -> None:
        if "base" in params:
            params["base"] = as_learner(params["base"])
        super().__init__(**params)
        budget_of(self.values["budget"])
        self.tuning_space  # noqa: B018  mistakes are told now

    @property
    def base(self) -> Learner:
        """The learner that is tuned."""
        base = self.values["base"]
        return make_learner(base) if isinstance(base, str) else base

    @property
    def tuning_space(self) -> Space:
        """What is searched. Raises: SpaceError."""
        return Space.of(self.base, self.values["space"])

    @property
    def uses_test(self) -> bool:
        """Where the last fit chooses its epoch anew, and by these rows; the search has test rows of its own."""
        return self.base.uses_test and self.values["epochs"] == "searched"

    def search(self, task: Task, *, store: str | Path | None = None, progress: bool | None = None) -> Tuning:
        """The search that a fit on this task begins with."""
        values = self.values
        return tune(
            task, self.base, values["space"], values["resampling"], values["measure"], budget_of(values["budget"]),
            sampler=values["sampler"], pruner=values["pruner"], seed=values["seed"], store=store, progress=progress,
        )  # fmt: skip

    def require_tasks(self, task: Task, test: Task | None = None) -> None:
        """As its base does."""
        self.base.require_tasks(task, test)

    def fit(
        self,
        task: Task,
        *,
        test: Task | None = None,
        folder: str | Path | None = None,
        keep_on_interrupt: bool = False,
        progress: bool | None = None,
    ) -> Model:
        """Search, then train the best on all rows; its file tells what was found."""
        self.require_tasks(task, test)
        if keep_on_interrupt:
            raise ParameterError(
                "learner 'tuned' has no weights before its search is over: give folder=, where the search goes on"
            )
        found = self.search(task, store=folder, progress=progress)
        learner = found.learner(epochs=self.values["epochs"])
        model = learner.fit(task, test=test, progress=progress)
        best = found.best
        told = {
            "n_trials": len(found.all), "measure": found.measures[0].name, "score": best.scores[found.measures[0].name],
            "trial": best.number, "params": dict(best.params), "by": self.to_dict(),
        }  # fmt: skip
        return _retold(model, training={**model.metadata["training"], "tuning": told})


def tuned(learner: Learner | str, space: Any = "medium", **settings: Any) -> Tuned:
    """A learner that searches for its parameters on the training rows of each fit, then trains the best on all of them.

    ``learner``: the one that is tuned, or its name; ``space`` as of :func:`onnxlearn.tune`. ``settings``: ``budget``,
    ``resampling``, ``measure``, ``sampler``, ``pruner``, ``epochs`` and ``seed``, each as there.

    Raises: SpaceError, ParameterError.

    >>> import onnxlearn as ol
    >>> own = ol.tuned("featureless", "small", budget=2, resampling=ol.CV(folds=2))
    >>> own.fit(ol.example_task("iris")).metadata["training"]["tuning"]["n_trials"]
    2
    """
    return Tuned(base=learner, space=space, **settings)


def _retold(model: Model, **changes: Any) -> Model:
    """The same graph with other metadata."""
    import onnx

    from onnxlearn.graph.metadata import embed

    made = Model(embed(onnx.load_from_string(model.to_bytes()), {**model.metadata, **changes}), trust=True)
    made.callbacks, made.out_of_fold = model.callbacks, model.out_of_fold
    return made
