"""Every parameter of a learner changes something: the check that holds it to what it says of itself."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from onnxlearn.effects import requirements
from onnxlearn.errors import DataError, ParameterError, ProviderError
from onnxlearn.learner import Learner
from onnxlearn.params import Param, other_values
from onnxlearn.task import Task
from onnxlearn.testing.learner import example_images, example_texts
from onnxlearn.testing.parity import expect

if TYPE_CHECKING:
    import pandas as pd

Settings = Mapping[str, Any]
Glance = Callable[[Learner, Task], str]
T = TypeVar("T")

# Of a training of a few steps on another number of threads.
ROUNDING = 1e-3

# What it takes to see an effect in few steps: epochs that get worse or are as good as others, and much of what fades.
_WILD: Sequence[Settings] = [{"max_epochs": 12, "lr": lr, "schedule": "constant", "ema": 0.0} for lr in (0.3, 1.0, 0.1, 0.003)]
_MEASURES = [("acc",), ("rmse",)]
BESIDE: Mapping[str, Sequence[Settings]] = {
    **dict.fromkeys(("patience", "monitor", "min_delta", "keep", "opt_amsgrad"), _WILD),
    "warmup": [{"max_epochs": 4}],
    "accumulate": [{"batch_size": 8}],
    "weight_decay_schedule": [{"weight_decay": 0.5}],
    "dropout_schedule": [{"dropout": 0.5}],
    "eval_every": [{"measures": measures} for measures in _MEASURES],
}
OTHERS: Mapping[str, Sequence[Any]] = {
    "time_budget": [1e-9], "freeze": [("*weight",), ("*bias",)], "param_groups": [{"*": {"lr": 0.5}}],
    "unfreeze": [{"*weight": 2}, {"*bias": 2}],
    "text_length": [2], "text_max_words": [3], "text_min_rows": [20],
    "image_height": [7], "image_width": [7], "image_mean": [(0.4,)], "image_std": [(0.3,)],
    "monitor": ["score"], "measures": _MEASURES, "formulas": [{"squared": "size ** 2"}],
}  # fmt: skip

REFUSALS = (DataError, ParameterError, ProviderError)


def check_effects(
    learner: Learner,
    *,
    others: Mapping[str, Sequence[Any]] | None = None,
    beside: Mapping[str, Sequence[Settings]] | None = None,
    names: Collection[str] | None = None,
    glance: Glance | None = None,
) -> None:
    """Each parameter of a learner changes its fits where it says that it counts, and one that says it is inert changes none.

    Every parameter in turn gets another value than it has in ``learner``, beside settings and on data that it asks for; the
    fit has to differ from the one without: in the graph of the file or in how training went. A learner whose fits take a moment
    serves best. ``others``: other values of parameters whose type tells none; ``beside``: sets of settings beside which a
    parameter shows its effect in so short a training, of which one has to; both beside those of the training of networks.
    ``names``: the parameters to look at, if not all. ``glance``, of a learner and a task: something that is quicker than a
    fit, in which a fit that differs may show it; where it does not, the fits are made.

    Raises: AssertionError that names all parameters without effect, and inert ones with one.
    """
    fits, values = _Fits(learner, {**BESIDE, **(beside or {})}, glance), {**OTHERS, **(others or {})}
    chosen = [param for param in learner.params if names is None or param.name in names]
    found = [fits.problem(param, values.get(param.name, ())) for param in chosen]
    problems = list(filter(None, found))
    expect(not problems, f"learner {learner.name!r}: " + "; ".join(problems))


def effect_tasks(*, images: bool = False, texts: bool = False) -> dict[str, Task]:
    """A small task for each type of target, whose columns are all that a parameter may ask for; images and texts if asked."""
    import pandas as pd

    frame, kinds = effect_frame(), {}
    if images:
        frame["picture"], kinds["picture"] = pd.Series(example_images(len(frame)), dtype=object), "image"
    if texts:
        frame["words"], kinds["words"] = pd.Series(example_texts(len(frame)), dtype=object), "text"
    features = [name for name in frame.columns if name not in ("sort", "two", "amount")]
    return {
        what: Task.from_frame(frame[[*features, target]], target, name=what, kinds=kinds)
        for what, target in (("classification", "sort"), ("two classes", "two"), ("regression", "amount"))
    }


def effect_frame(n_rows: int = 64) -> pd.DataFrame:
    """Numbers, dates, few and many categories, ordered ones, holes, and the targets ``sort``, ``two`` and ``amount``."""
    import pandas as pd

    rng = np.random.default_rng(0)
    size = rng.normal(size=n_rows)
    shape = rng.choice(["round", "long", "flat"], n_rows)
    return pd.DataFrame(
        {
            # Skewed, so that mean and median differ.
            "size": pd.Series(np.exp(size)).mask(rng.random(n_rows) < 0.2),
            "shape": shape,
            "code": [f"c{i % 48}" for i in range(n_rows)],
            "grade": pd.Categorical(rng.choice(["low", "mid", "high"], n_rows), ["low", "mid", "high"], ordered=True),
            "day": pd.Timestamp("2001-03-01") + pd.to_timedelta(rng.integers(0, 9000, n_rows), unit="D"),
            "sort": np.where(size > 0.7, "c", np.where(shape == "flat", "b", "a")),
            "two": size + (shape == "long") > 0,
            "amount": size + rng.normal(0, 0.1, n_rows),
        }
    )


@dataclass(frozen=True)
class Fit:
    """What a fit came to: its graph and how training went, without what repeats the parameters; outputs for its rows."""

    fingerprint: str
    outputs: Mapping[str, Any]

    @classmethod
    def of(cls, learner: Learner, task: Task) -> Fit:
        """Fit the learner."""
        import onnx

        model = learner.fit(task, progress=False)
        graph = onnx.load_model_from_string(model.to_bytes())
        del graph.metadata_props[:]
        training = _without(model.metadata["training"], {"params", "chosen", *model.metadata["learner"]["params"]})
        digest = hashlib.sha256(graph.SerializeToString(deterministic=True) + json.dumps(training, sort_keys=True).encode())
        return cls(digest.hexdigest(), model.predict_feeds(task.feeds()))

    def is_rounding_of(self, other: Fit) -> bool:
        """Whether the outputs are the same but for rounding errors that training took along."""
        pairs = [(array, other.outputs[name]) for name, array in self.outputs.items() if name in other.outputs]
        numbers = [pair for pair in pairs if pair[0].dtype.kind == "f"]
        return len(pairs) == len(self.outputs) and all(np.allclose(a, b, rtol=ROUNDING, atol=ROUNDING) for a, b in numbers)


class _Fits:
    """Fits of a learner, and glances at them, each made once."""

    def __init__(self, learner: Learner, beside: Mapping[str, Sequence[Settings]], glance: Glance | None) -> None:
        self.learner, self.beside, self.glance = learner, beside, glance
        data = {param.on for param in learner.params}
        self.tasks = effect_tasks(images="images" in data, texts="texts" in data)
        self.fits: dict[tuple[str, str], Fit | None] = {}
        self.glances: dict[tuple[str, str], str | None] = {}

    def problem(self, param: Param, others: Sequence[Any]) -> str:
        """What is wrong with a parameter; empty where nothing is."""
        contexts = list(self._contexts(param))
        if not contexts:
            return f"no settings were found beside which {param.name} counts ({param.context})"
        tried = []
        for context in contexts:
            for value, changed, what in self._changed(context, param, others):
                accepted, differs = self._compare(context, changed, what, inert=bool(param.inert))
                tried += [value] if accepted else []
                if differs and param.inert:
                    return f"{param.name}={value!r} changes the fit, and it says that it {param.context}"
                if differs:
                    return ""
        if not tried:
            return f"no other value of {param.name} is accepted: are there some for others=?"
        return "" if param.inert else f"{param.name} changes nothing, tried as {tried!r} {param.context}".rstrip()

    def _changed(self, context: Learner, param: Param, others: Sequence[Any]) -> Iterator[tuple[Any, Learner, str]]:
        """Other values of the parameter, the learner with them and the task to fit it on."""
        # Choices of the learner may be for one type of task.
        whats = [param.on] if param.on in self.tasks else [*self.learner.tasks, "two classes"]
        what = next((what for what in whats if (self._glance if self.glance else self._fit)(context, what)), whats[0])
        for value in others or other_values(context.config_types, param.name, context.values[param.name]):
            # It may not go with the other settings.
            with contextlib.suppress(*REFUSALS):
                yield value, context.replace(**{param.name: value}), what

    def _compare(self, one: Learner, other: Learner, what: str, *, inert: bool) -> tuple[bool, bool]:
        """Whether both are accepted, and whether they differ; of inert parameters by more than rounding."""
        if not inert and self.glance:
            seen = self._glance(one, what), self._glance(other, what)
            if None in seen or seen[0] != seen[1]:
                return None not in seen, None not in seen
        before, after = self._fit(one, what), self._fit(other, what)
        if before is None or after is None:
            return False, False
        return True, not after.is_rounding_of(before) if inert else after.fingerprint != before.fingerprint

    def _contexts(self, param: Param) -> Iterator[Learner]:
        """The learner with settings beside which the parameter counts."""
        sets = [settings for settings in self.beside.get(param.name, []) if settings.keys() <= self.learner.values.keys()]
        for settings in sets or [{}]:
            for needed in requirements(param.when):
                # Of several sets of settings the learner has to take one.
                with contextlib.suppress(ParameterError):
                    yield _with(self.learner.replace(**settings), needed)

    def _fit(self, learner: Learner, what: str) -> Fit | None:
        """The fit; ``None`` where it is refused."""
        return _once(self.fits, learner, what, lambda: Fit.of(learner, self.tasks[what]))

    def _glance(self, learner: Learner, what: str) -> str | None:
        """A glance at the fit; ``None`` where it is refused."""
        assert self.glance is not None
        glance = self.glance
        return _once(self.glances, learner, what, lambda: glance(learner, self.tasks[what]))


def _once(known: dict[tuple[str, str], T | None], learner: Learner, what: str, make: Callable[[], T]) -> T | None:
    key = repr(learner), what
    if key not in known:
        known[key] = None
        with contextlib.suppress(*REFUSALS):
            known[key] = make()
    return known[key]


def _with(learner: Learner, needed: Mapping[str, Callable[[Any], bool]]) -> Learner:
    """The learner with other values where it lacks what is needed. Raises: ParameterError where none is known."""
    for name, fits in needed.items():
        if name not in learner.values:
            continue
        value = learner.values[name]
        if not fits(value):
            fitting = [other for other in other_values(learner.config_types, name, value) if fits(other)]
            if not fitting:
                raise ParameterError(f"no value of {name} is known to be what is needed")
            learner = learner.replace(**{name: fitting[0]})
    return learner


def _without(value: Any, names: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value
