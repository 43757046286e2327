"""What a search found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn import measures as _measures
from onnxlearn.errors import OnnxlearnError, ParameterError
from onnxlearn.measures import Measure, Outcome
from onnxlearn.registry import learner as make_learner
from onnxlearn.tuning.ranges import Choice
from onnxlearn.tuning.space import Space
from onnxlearn.tuning.study import read_study
from onnxlearn.tuning.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

    from onnxlearn.learner import Learner
    from onnxlearn.model import Model
    from onnxlearn.task import Task


@dataclass(frozen=True)
class Tuning:
    """The trials of a search, from :func:`onnxlearn.tune`, or of a folder by :meth:`load`.

    ``measures``: what was searched by, the first one above all. ``about``: what was searched, on which task and by which
    resampling, as plain JSON.
    """

    all: Sequence[Trial]
    measures: Sequence[Measure]
    space: Space = field(repr=False)
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, folder: str | Path) -> Tuning:
        """What is in a folder that ``store`` named; nothing is searched or written.

        A folder has names of learners and values of their parameters, and no code: of a learner with code of your own
        :meth:`learner` is refused, and the call that made the folder gives it.

        Raises: DataError where there is no search.
        """
        about, trials = read_study(folder)
        measures = [_measure(name, minimize) for name, minimize in zip(about["measures"], about["minimize"], strict=True)]
        return cls(trials, measures, Space.from_list(about["space"], _learners(about)), about)

    @property
    def trials(self) -> pd.DataFrame:
        """A line for each trial: number, state, learner, a column for each parameter and measure, epochs, seconds, error."""
        import pandas as pd

        names = dict.fromkeys(name for trial in self.all for name in trial.params)
        rows = [
            {
                "number": trial.number, "state": trial.state, **({"learner": trial.learner} if trial.learner else {}),
                **{name: trial.params.get(name) for name in names},
                **{measure.name: trial.scores.get(measure.name) for measure in self.measures},
                "epochs": trial.n_epochs, "seconds": trial.seconds, "error": trial.error,
            }
            for trial in self.all
        ]  # fmt: skip
        return pd.DataFrame(rows)

    @property
    def best(self) -> Trial:
        """The trial with the best mean of the first measure; of equal ones the first.

        Raises: OnnxlearnError where no trial was finished.
        """
        done = [trial for trial in self.all if trial.state == "done"]
        if not done:
            raise OnnxlearnError("no trial was finished: see .trials for their errors")
        return min(done, key=lambda trial: cost(trial, self.measures[0]))

    @property
    def best_params(self) -> dict[str, Any]:
        """What was drawn for the best trial; nothing where the learner as it was given was best."""
        return dict(self.best.params)

    @property
    def front(self) -> list[Trial]:
        """The trials that none is better than by all measures, by the first one."""
        done = [trial for trial in self.all if trial.state == "done"]
        costs = {trial.number: [cost(trial, measure) for measure in self.measures] for trial in done}

        def is_beaten(trial: Trial) -> bool:
            own = costs[trial.number]
            others = (costs[each.number] for each in done)
            return any(all(a <= b for a, b in zip(other, own, strict=True)) and other != own for other in others)

        return sorted((trial for trial in done if not is_beaten(trial)), key=lambda trial: costs[trial.number])

    def learner(self, trial: Trial | None = None, *, epochs: str = "found") -> Learner:
        """The learner of a trial, by default of the best one.

        ``epochs``: ``found`` trains on all rows for as many epochs as the trial's trainings were best after, on average;
        ``searched`` trains as in the trial, whose epoch is chosen by rows that are set aside.
        """
        if epochs not in ("found", "searched"):
            raise ParameterError(f"epochs is 'found' or 'searched', not {epochs!r}")
        trial = self.best if trial is None else trial
        if trial.learner not in self.space.learners:
            raise OnnxlearnError(
                "a folder has no code of learners, and this one's cannot be had by its name: call ol.tune as before, with the "
                "same store"
            )
        made = self.space.learners[trial.learner].replace(**self._values(trial))
        return made.for_epochs(trial.n_epochs) if epochs == "found" and trial.n_epochs is not None else made

    def fit(self, task: Task, *, epochs: str = "found", progress: bool | None = None) -> Model:
        """Train the best learner on a task; ``epochs`` as of :meth:`learner`."""
        return self.learner(epochs=epochs).fit(task, progress=progress)

    def headline(self) -> str:
        """Which trial is the best, and its scores. Raises: OnnxlearnError where no trial was finished."""
        told = ", ".join(f"{name} {score:.4g}" for name, score in self.best.scores.items())
        return f"trial {self.best.number} of {len(self.all)}: {told}"

    def _values(self, trial: Trial) -> dict[str, Any]:
        """What was drawn, as it was given to the learner: plain JSON may be less."""
        return {name: self._value(trial.learner, name, value) for name, value in trial.params.items()}

    def _value(self, learner: str, name: str, value: Any) -> Any:
        domain = self.space.entries[learner][name].domain
        return domain.values[domain.index(value)] if isinstance(domain, Choice) else value

    def __repr__(self) -> str:
        states = [trial.state for trial in self.all]
        counts = ", ".join(f"{states.count(state)} {state}" for state in ("done", "pruned", "failed") if state in states)
        found = ""
        if "done" in states:
            best = self.best
            found = f"; best {self.measures[0].name}={best.scores[self.measures[0].name]:.4g} by {params_text(best.params)}"
        return f"Tuning({len(states)} trials: {counts}{found})"


def _measure(name: str, minimize: bool) -> Measure:  # noqa: FBT001  - as it stands in the folder
    """The measure of a name; of one's own that is not there, what a folder knows of it."""
    try:
        return _measures.get(name)
    except OnnxlearnError:
        return Measure(
            name=name, task="any", summary="a measure of one's own", low=-math.inf, high=math.inf, minimize=minimize,
            needs="run", function=_unknown,
        )  # fmt: skip


def _unknown(outcome: Outcome) -> float:
    raise ParameterError(f"a folder knows the name of this measure alone, and cannot score {outcome.__class__.__name__}s by it")


def _learners(about: Mapping[str, Any]) -> dict[str, Learner]:
    """The learners of a folder, as far as names and plain values make them again."""
    found = {}
    for own in about["space"]:
        key = own["name"] or own["learner"]["name"]
        has_code = "code" in about["learners"][key] or any("names" in param for param in own["params"])
        if not has_code and (made := _made(own["learner"], about["given"][key])) is not None:
            found[own["name"]] = made
    return found


def _made(learner: Mapping[str, Any], given: Mapping[str, Any]) -> Learner | None:
    try:
        made = make_learner(learner["name"], **given)
    except OnnxlearnError:
        return None
    # Another version may have other defaults.
    return made if made.to_dict() == learner else None


def cost(trial: Trial, measure: Measure) -> float:
    """A score of which less is better."""
    score = trial.scores[measure.name]
    return score if measure.minimize else -score


def params_text(params: Mapping[str, Any]) -> str:
    """Parameters on one line; what was given, where nothing was drawn.

    >>> params_text({"lr": 0.0123456, "activation": "relu"}), params_text({})
    ('lr=0.01235, activation=relu', 'the learner as it was given')
    """
    told = [f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()]
    return ", ".join(told) or "the learner as it was given"
