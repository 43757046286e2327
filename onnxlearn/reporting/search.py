"""What the page of a search holds."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import Any

from onnxlearn import plots
from onnxlearn.errors import DataError, OnnxlearnError
from onnxlearn.measures import Measure
from onnxlearn.plots.points import drawn_parameters
from onnxlearn.plots.trials import Parameter, parameters
from onnxlearn.reporting import overview
from onnxlearn.reporting.figures import DRAWN_MEASURES, Gallery, Group
from onnxlearn.reporting.parts import best
from onnxlearn.reporting.sections import Section
from onnxlearn.reporting.tables import Cell, Column, Table, numbers, numeric, text
from onnxlearn.tuning.files import params_toml
from onnxlearn.tuning.ranges import Choice, label
from onnxlearn.tuning.result import Tuning, params_text
from onnxlearn.tuning.trial import State, Trial

# More slices are unfolded by who wants them.
UNFOLDED = 9
_STATES: dict[State, str] = {"done": "done", "pruned": "stopped early", "failed": "failed"}


def require_trials(found: Tuning) -> None:
    """Raise ``DataError`` where there is nothing to report."""
    if not found.all:
        raise DataError("there is nothing to report: no trial has ended; search first")


def contents(found: Tuning) -> dict[str, Any]:
    """The page's title, its first words and its sections."""
    gallery = Gallery()
    done = [trial for trial in found.all if trial.state == "done"]
    sections = [_searched(found)]
    if done:
        sections.append(_best(found))
    sections.append(Section(anchor="trials", title="Trials", tables=(_trials(found, found.all, _CAPTION),)))
    if done:
        sections.append(Section(anchor="plots", title="Plots", groups=tuple(_groups(found, gallery))))
    if any(trial.state == "failed" for trial in found.all):
        sections.append(Section(anchor="failures", title="Failures", tables=(_failures(found.all),)))
    return {"title": _title(found), "lead": _lead(found), "sections": sections}


def _title(found: Tuning) -> str:
    learners = _learners(found)
    left = learners[0] if len(learners) == 1 else f"{len(learners)} learners"
    return " on ".join([f"Search for {left}", *found.about.get("tasks", {})])


def _learners(found: Tuning) -> list[str]:
    """Their names; that of one alone is its own."""
    return [own["name"] or own["learner"]["name"] for own in found.about.get("space", ())] or list(found.space.entries)


def _lead(found: Tuning) -> str:
    states = Counter(trial.state for trial in found.all)
    counts = ", ".join(f"{states[state]} {name}" for state, name in _STATES.items() if states[state])
    n = len(found.all)
    return (
        f"{n} {'trial' if n == 1 else 'trials'}: {counts}. Every score is the mean over the splits of what exported files "
        "scored on rows that they have not seen."
    )


def _searched(found: Tuning) -> Section:
    about = found.about
    types = {name: one["target"]["type"] for name, one in about.get("tasks", {}).items()}
    tables = [_space(found), _how(found)]
    if about:
        tables = [overview.tasks(about, types), overview.learners_of(about, _learners(found)), *tables]
    return Section(anchor="searched", title="What was searched", tables=tuple(tables))


def _space(found: Tuning) -> Table:
    searched = parameters(found)
    conditions = any(each.domain.when for each in searched)
    columns = [Column(name="parameter"), Column(name="may be"), *([Column(name="beside")] if conditions else [])]
    rows = [[text(each.name), text(_may_be(each)), *([text(_condition(each))] if conditions else [])] for each in searched]
    return Table(caption="The space; conditions that a parameter has by itself are not listed", columns=columns, rows=rows)


def _may_be(param: Parameter) -> str:
    domain = param.domain
    if isinstance(domain, Choice):
        return ", ".join(map(_shown, domain.values))
    step = f", in steps of {domain.step:g}" if domain.step is not None else ""
    return f"{domain.low:g} to {domain.high:g}{', all orders of magnitude alike' * domain.log}{step}"


def _condition(param: Parameter) -> str:
    told = {name: list(value) if isinstance(value, list | tuple) else [value] for name, value in param.domain.when.items()}
    return ", ".join(f"{name} = {' or '.join(map(_shown, values))}" for name, values in told.items())


def _shown(value: Any) -> str:
    """A value as people write it.

    >>> _shown(None), _shown("relu"), _shown((64, 32)), _shown(0.25)
    ('None', 'relu', '[64, 32]', '0.25')
    """
    if value is None or isinstance(value, bool | float):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    return value if isinstance(value, str) else label(value)


def _how(found: Tuning) -> Table:
    about = found.about
    splits = [f"{overview.recipe(split)}, {split['n']} splits" for split in about.get("splits", {}).values()]
    told = {
        "resampling of a trial": "; ".join(splits),
        "measures": ", ".join(f"{measure.name} ({measure.better} is better)" for measure in found.measures),
        **{name: _shown(about[key]) for name, key in _SETTINGS.items() if key in about},
    }
    columns = [Column(name="setting"), Column(name="value")]
    return Table(
        caption="How", columns=columns, rows=[[text(name), text(value or overview.UNKNOWN)] for name, value in told.items()]
    )


_SETTINGS = {"sampler": "sampler", "pruner": "pruner", "seed": "seed", "time limit of a fit, seconds": "time_limit"}


def _best(found: Tuning) -> Section:
    """The best trial beside the learner as it was given, what it drew, and the file of it."""
    n = sum(trial.state == "done" for trial in found.all)
    flatters = (
        f"The best of {n} finished trials was chosen by the scores on this page, so its own score flatters: on others "
        "it will be worse. What the search itself is worth is told by a nested resampling: ol.resample of "
        "ol.tuned(learner, space)."
    )
    several = len(found.measures) > 1
    front = [_trials(found, found.front, "The front: trials that none beats by all measures")] if several else []
    given = [trial for trial in found.all if trial.state == "done" and not trial.params and trial is not found.best]
    compared = _scores(found, [found.best, *given])
    try:
        toml, left = params_toml(found.learner(), found.headline())
        notes = [f"{', '.join(left)} cannot be told by a file: give fit the same beside it."] if left else []
        notes.append("Kept as best.toml, this is what onnxlearn fit --params best.toml reads:")
    except OnnxlearnError as error:
        toml, notes = "", [f"There is no file of these parameters: {error}."]
    tables = (compared, _drawn(found, found.best), *front)
    return Section(anchor="best", title="Best parameters", tables=tables, notes=(flatters, *notes), code=toml)


def _scores(found: Tuning, trials: Sequence[Trial]) -> Table:
    """A line for each of a few trials."""
    columns = [Column(name="trial"), *map(_heading, found.measures), numeric("epochs")]
    rows = [
        [text(_named(trial, trial is found.best)), *_measured(found, trial, trials), numbers(trial.n_epochs)]
        for trial in trials
    ]
    return Table(caption="The best trial: mean over the splits ± their standard deviation", columns=columns, rows=rows)


def _named(trial: Trial, is_best: bool) -> str:  # noqa: FBT001
    of = f" of {trial.learner}" if trial.learner else ""
    given = "" if trial.params else ", as it was given"
    return f"{'best, ' if is_best else ''}trial {trial.number}{of}{given}"


def _drawn(found: Tuning, trial: Trial) -> Table:
    """What the best trial drew, beside the values of the learner as it was given where these are known."""
    learner = found.space.learners.get(trial.learner)
    columns = [Column(name="parameter"), Column(name="best"), Column(name="as given")]
    given = dict.fromkeys(trial.params, overview.UNKNOWN) if learner is None else learner.values
    rows = [
        [text(name), text(_shown(value)), text(_shown(given[name]) if name in given else "")]
        for name, value in trial.params.items()
    ]
    return Table(caption="What it drew", columns=columns, rows=rows)


_CAPTION = (
    "Every trial: mean over the splits ± their standard deviation, the best in bold; no value where a parameter did not count"
)


def _trials(found: Tuning, trials: Sequence[Trial], caption: str) -> Table:
    """A line for each trial, as it is stored."""
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    numeric_ones = {name for name in names if _is_numeric(trials, name)}
    several = any(trial.learner for trial in trials)
    columns = [numeric("trial"), Column(name="state"), *([Column(name="learner")] if several else [])]
    columns += [*map(_heading, found.measures), numeric("epochs"), numeric("seconds")]
    columns += [numeric(name) if name in numeric_ones else Column(name=name) for name in names]
    rows = [
        [
            numbers(trial.number), text(_state(trial)), *([text(trial.learner)] if several else []),
            *_measured(found, trial, found.all), numbers(trial.n_epochs), numbers(trial.seconds),
            *(
                numbers(trial.params.get(name)) if name in numeric_ones
                else text(_shown(trial.params[name]) if name in trial.params else "")
                for name in names
            ),
        ]
        for trial in trials
    ]  # fmt: skip
    return Table(caption=caption, columns=columns, rows=rows)


def _state(trial: Trial) -> str:
    # It stays on one line.
    return (_STATES[trial.state] + ("" if trial.params else ", as given")).replace(" ", "\u00a0")


def _is_numeric(trials: Sequence[Trial], name: str) -> bool:
    values = [trial.params[name] for trial in trials if name in trial.params]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _heading(measure: Measure) -> Column:
    return numeric(measure.name, f"{measure.summary}; {measure.better} is better, range {measure.range}")


def _measured(found: Tuning, trial: Trial, among: Sequence[Trial]) -> Iterator[Cell]:
    """Each measure's mean and standard deviation over the splits; in bold the best among trials."""
    for measure in found.measures:
        value = trial.scores.get(measure.name)
        every = [each.scores[measure.name] for each in among if each.state == "done"]
        is_top = value is not None and best([value, *every], measure)[0]
        splits = [one[measure.name] for one in trial.by_split]
        yield numbers(value, *([statistics.stdev(splits)] if len(splits) > 1 else []), best=is_top)


def _failures(trials: Sequence[Trial]) -> Table:
    columns = [numeric("trial"), Column(name="learner with"), Column(name="error")]
    rows = [
        [numbers(trial.number), text(" ".join(filter(None, (trial.learner, params_text(trial.params))))), text(trial.error)]
        for trial in trials
        if trial.state == "failed"
    ]
    return Table(caption="Trials that failed", columns=columns, rows=rows)


def _groups(found: Tuning, gallery: Gallery) -> Iterator[Group]:
    names = [measure.name for measure in found.measures[:DRAWN_MEASURES]]
    yield gallery.group(
        "Optimization history", [(name, partial(plots.optimization_history, found, measure=name)) for name in names]
    )
    if len(names) > 1:
        pairs = [(f"{a} and {b}", partial(plots.pareto_front, found, (a, b))) for a, b in combinations(names, 2)]
        yield gallery.group("Front", pairs)
    yield gallery.group(
        "Parameter importance",
        [(name, partial(plots.parameter_importance, found, measure=name)) for name in names],
        note="A bar that is no longer than its line tells nothing. A search looks more closely where it is good: what it "
        "hardly tried there may count more than it seems.",
    )
    yield _parallel(found, names[0], gallery)
    yield _slices(found, names[0], gallery)


def _parallel(found: Tuning, measure: str, gallery: Gallery) -> Group:
    learners = [learner for learner in found.space.entries if len(found.space.entries) > 1]
    plot = partial(plots.parallel_coordinates, found, measure=measure)
    drawings = [(learner, partial(plot, learner=learner)) for learner in learners] or [(measure, plot)]
    return gallery.group("Parallel coordinates", drawings, wide=True)


def _slices(found: Tuning, measure: str, gallery: Gallery) -> Group:
    trials = [trial for trial in found.all if trial.state == "done" and trial.params]
    shown = drawn_parameters(found, trials)
    drawings = [(each.name, partial(plots.slices, found, each.name, measure=measure)) for each in shown]
    note = "The best trial is a diamond, the learner as it was given a line across; of choices there are medians."
    group = gallery.group("Slices", drawings, note=note, folded=len(drawings) > UNFOLDED)
    return group if drawings else Group(title="Slices", missing=("No trial of the space was finished.",))
