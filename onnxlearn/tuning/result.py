"""What a search found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import OnnxlearnError, ParameterError
from onnxlearn.measures import Measure
from onnxlearn.tuning.ranges import Choice, label
from onnxlearn.tuning.space import Space
from onnxlearn.tuning.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

    from onnxlearn.learner import Learner
    from onnxlearn.model import Model
    from onnxlearn.task import Task


@dataclass(frozen=True)
class Tuning:
    """The trials of a search, from :func:`onnxlearn.tune`. ``measures``: what was searched by, the first one above all."""

    all: Sequence[Trial]
    measures: Sequence[Measure]
    space: Space = field(repr=False)

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
        made = self.space.learners[trial.learner].replace(**self._values(trial))
        return made.for_epochs(trial.n_epochs) if epochs == "found" and trial.n_epochs is not None else made

    def fit(self, task: Task, *, epochs: str = "found", progress: bool | None = None) -> Model:
        """Train the best learner on a task; ``epochs`` as of :meth:`learner`."""
        return self.learner(epochs=epochs).fit(task, progress=progress)

    def _values(self, trial: Trial) -> dict[str, Any]:
        """What was drawn, as it was given to the learner: plain JSON may be less."""
        return {name: self._value(trial.learner, name, value) for name, value in trial.params.items()}

    def _value(self, learner: str, name: str, value: Any) -> Any:
        domain = self.space.entries[learner][name].domain
        if not isinstance(domain, Choice):
            return value
        told = value if isinstance(value, str) and value in domain.labels else label(value)
        return domain.values[domain.labels.index(told)]

    def __repr__(self) -> str:
        states = [trial.state for trial in self.all]
        counts = ", ".join(f"{states.count(state)} {state}" for state in ("done", "pruned", "failed") if state in states)
        found = ""
        if "done" in states:
            best = self.best
            found = f"; best {self.measures[0].name}={best.scores[self.measures[0].name]:.4g} by {params_text(best.params)}"
        return f"Tuning({len(states)} trials: {counts}{found})"


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
