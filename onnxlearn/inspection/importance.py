"""Permutation importance: how much worse the exported file scores when a column is shuffled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn import measures as _measures
from onnxlearn.errors import ColumnNotFoundError, DataError, ParameterError, listing
from onnxlearn.images.rules import ImageRules
from onnxlearn.inspection.copies import Change, outputs_of_copies
from onnxlearn.inspection.rows import Rows, read_rows, require_model
from onnxlearn.measures import Array, Measure
from onnxlearn.model import Model, Table
from onnxlearn.plots.canvas import COLOURS, axes, drawn
from onnxlearn.progress import progress_steps
from onnxlearn.remarks import told_together
from onnxlearn.statistics.result import Result
from onnxlearn.wire.values import is_integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEFAULTS = {"classification": "logloss", "regression": "rmse"}
"""The measure that is used if none is named: one that notices every change of a prediction."""
# Beyond these a figure is no longer read.
SHOWN_COLUMNS = 40


@dataclass(frozen=True, kw_only=True, repr=False)
class Importance(Result):
    """What :func:`importance` gives.

    ``baseline``: the measure on the rows as they are. ``columns``: names of columns and groups, in the file's order.
    ``losses`` ``[n_columns][repeats]``: how much worse the measure was in each repeat, in its own unit and positive if worse.
    """

    measure: str
    better: str
    n_rows: int
    baseline: float
    columns: tuple[str, ...]
    losses: tuple[tuple[float, ...], ...]

    @property
    def n_repeats(self) -> int:
        """How often each column was shuffled."""
        return len(self.losses[0])

    def headline(self) -> str:
        """The measure, its value, and how often each column was shuffled."""
        return (
            f"Permutation importance by {self.measure} ({self.better} is better), {self.baseline:.4g} on {self.n_rows} rows; "
            f"{self.n_repeats} repeats"
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row a column, the most important first: mean loss, its standard deviation over the repeats and standard error."""
        found = [
            {"column": name, "importance": float(np.mean(losses)), "sd": spread, "se": spread / len(losses) ** 0.5}
            for name, losses in zip(self.columns, self.losses, strict=True)
            for spread in [float(np.std(losses, ddof=1)) if len(losses) > 1 else float("nan")]
        ]
        return sorted(found, key=lambda row: -row["importance"])

    def plot(self, ax: Axes | None = None) -> Axes:
        """A bar a column, the most important on top, with its standard deviation over the repeats; the first 40 columns.

        Raises: MissingExtraError.
        """
        rows = self.rows()
        shown = rows[:SHOWN_COLUMNS][::-1]
        ax = axes(ax, width=6.4, height=1.5 + 0.28 * len(shown))
        sds = [0.0 if row["sd"] != row["sd"] else row["sd"] for row in shown]
        places = range(len(shown))
        ax.barh(
            places, [row["importance"] for row in shown], xerr=sds, color=COLOURS[0], ecolor="0.35", capsize=2.5, height=0.7
        )
        ax.set_yticks(places, [drawn(row["column"]) for row in shown])
        ax.axvline(0, color="0.35", linewidth=0.8)
        ax.set_xlabel(f"how much worse {self.measure} is when shuffled\n(bar: mean, line: sd of {self.n_repeats} repeats)")
        hidden = len(rows) - len(shown)
        ax.set_title(f"{self.measure} {self.baseline:.4g} on {self.n_rows} rows" + (f"; {hidden} more columns" * bool(hidden)))
        return ax


@told_together()
def importance(
    model: Model,
    data: Table,
    *,
    measure: str | Measure | None = None,
    repeats: int = 10,
    groups: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    format: str | None = None,
    images: ImageRules | Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> Importance:
    """How much worse the model scores on rows with the target when the values of a column are shuffled among them.

    Every column of the table counts as it is, before any preprocessing. Breiman (2001), "Random forests", Machine Learning
    45, section 10; Fisher, Rudin and Dominici (2019), "All models are wrong, but many are useful", Journal of Machine
    Learning Research 20. Shuffling breaks what columns have in common: of two that tell the same, neither may seem to count,
    so shuffle them as a group. On training rows it tells what the model leans on, on others what helps it to predict.

    ``measure``: a name or a measure, by default ``logloss`` or ``rmse``. ``repeats`` (>= 1): shuffles of each column; the
    spread over them is that of shuffling alone. ``groups``: columns that are shuffled together, by a name for each group;
    columns of no group stand for themselves. ``seed``: all columns are shuffled alike, in each repeat. ``format``: of a file
    whose suffix does not tell; ``images``: how images are read, as ``Model.predict`` has it. ``progress``: a bar on stderr;
    ``None`` shows it where stderr is a terminal. Rows count by their weights where the model was trained with such.

    Raises: DataError where the truth is not known, there are fewer than two rows, or the measure is undefined on them;
    ColumnNotFoundError, UnknownNameError, ParameterError.

    >>> import onnxlearn as ol
    >>> task = ol.example_task("penguins")
    >>> model = ol.learner("linear", max_epochs=20, seed=0).fit(task, progress=False)
    >>> found = ol.importance(model, task, measure="acc", repeats=3, groups={"bill": ["bill_length_mm", "bill_depth_mm"]})
    >>> found.to_frame().columns.tolist(), found.rows()[0]["column"]
    (['column', 'importance', 'sd', 'se'], 'bill')
    """
    require_model(model)
    for name, value, low in (("repeats", repeats, 1), ("seed", seed, 0)):
        if not is_integer(value) or value < low:
            raise ParameterError(f"{name} has to be an integer >= {low}, not {value!r}")
    target = model.schema.target
    (chosen,) = _measures.resolve([DEFAULTS[target.type] if measure is None else measure], target)
    together = grouped(model.schema.feature_names, groups or {})
    rows = read_rows(model, data, format=format, images=images)
    rows.require_truth()
    if len(rows) < 2:
        raise DataError("shuffling needs two rows or more, there is 1: give a table with more rows")
    base = _score(model, model.predict_feeds(rows.feeds), rows, chosen)
    if base != base:
        raise DataError(
            f"measure {chosen.name!r} is undefined on these rows, {chosen.undefined or 'it is nan'}: choose another one"
        )
    losses: list[float] = []
    with progress_steps("shuffling", len(together) * repeats, show=progress) as on_step:
        for outputs in outputs_of_copies(model, rows.feeds, _changes(rows, together.values(), repeats, seed)):
            losses.append(_loss(chosen, base, _score(model, outputs, rows, chosen)))
            on_step()
    table = np.reshape(losses, (len(together), repeats)).tolist()
    return Importance(
        measure=chosen.name, better=chosen.better, n_rows=len(rows), baseline=base, columns=tuple(together),
        losses=tuple(map(tuple, table)),
    )  # fmt: skip


def grouped(features: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """What is shuffled, by name: each group, in the place of its first column, and each column of no group.

    Raises: ColumnNotFoundError, ParameterError.

    >>> grouped(["a", "b", "c"], {"both": ["c", "b"]})
    {'a': ('a',), 'both': ('c', 'b')}
    """
    of: dict[str, str] = {}
    for name, columns in groups.items():
        if isinstance(columns, str) or not columns:
            raise ParameterError(f"group {name!r} has to be a list of columns, not {columns!r}")
        if missing := [column for column in columns if column not in features]:
            raise ColumnNotFoundError(
                f"group {name!r} names {listing(missing)}, no feature of the model; the features are {listing(features)}"
            )
        if name in features:
            raise ParameterError(f"group {name!r} is called like a column: give it another name")
        for column in columns:
            if column in of:
                raise ParameterError(f"column {column!r} is in group {of[column]!r} already: each column is in one group, once")
            of[column] = name
    return {of.get(column, column): tuple(groups.get(of.get(column, ""), (column,))) for column in features}


def shuffled(n_rows: int, seed: int, repeat: int) -> Array:
    """The rows in the order of a repeat, int64 ``[N]``: drawn again for each column, which is cheaper than to keep them."""
    return np.random.default_rng([seed, repeat]).permutation(n_rows)


def _changes(rows: Rows, together: Iterable[Sequence[str]], repeats: int, seed: int) -> Iterator[Change]:
    for columns in together:
        for repeat in range(repeats):
            order = shuffled(len(rows), seed, repeat)
            yield {column: rows.feeds[column][order] for column in columns}


def _score(model: Model, outputs: Mapping[str, Array], rows: Rows, measure: Measure) -> float:
    return measure(model.to_prediction(outputs, truth=rows.truth, weights=rows.weights).outcome())


def _loss(measure: Measure, base: float, score: float) -> float:
    """How much worse, where the best value is the smallest, the largest or 0."""
    if measure.minimize is None:
        return abs(score) - abs(base)
    return score - base if measure.minimize else base - score
