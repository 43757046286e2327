"""What it costs to convert a model: size, speed, and how far outputs and measures move."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.card import megabytes, number
from onnxlearn.graph.hostile import hostile_feeds, tried_feeds
from onnxlearn.graph.outputs import UNSEEN
from onnxlearn.inference.timing import time_all
from onnxlearn.inspection.rows import Rows
from onnxlearn.measures import Array, Measure
from onnxlearn.measures.registry import all_measures
from onnxlearn.model import Model
from onnxlearn.statistics.result import Result
from onnxlearn.wire.feeds import Feeds, taken

if TYPE_CHECKING:
    from onnxlearn.measures import Outcome

LARGE_BATCH = 1000
# Where a row costs so much that few are run at a time, so many chunks are a large batch.
MOST_CHUNKS = 16


@dataclass(frozen=True, kw_only=True)
class Score:
    """A measure of the same rows by both files; ``nan`` where they do not define it."""

    measure: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """By how much it moved, up or down."""
        return self.after - self.before


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Median time of a call on so many rows by both files, milliseconds, on one thread."""

    n_rows: int
    before: float
    after: float

    def __str__(self) -> str:
        rows = "1 row" if self.n_rows == 1 else f"{self.n_rows} rows"
        return f"{rows} {number(self.before)} -> {number(self.after)} ms ({self.after / self.before:.2f})"


@dataclass(frozen=True, kw_only=True, repr=False)
class Cost(Result):
    """What :func:`cost_of` gives.

    ``n_bytes``: of both files. ``moved`` and ``moved_extreme``: output to the largest change of a number in it, or the share of
    rows that got another label, set or ``unseen``; on the rows given, and on rows that are missing, unseen or extreme.
    ``speeds``: where it was timed. ``scores``: every measure that suits the target, where there are rows with the truth,
    ``n_rows`` of them.
    """

    n_bytes: tuple[int, int]
    n_rows: int
    moved: Mapping[str, float]
    moved_extreme: Mapping[str, float]
    speeds: tuple[Speed, ...]
    scores: tuple[Score, ...]

    def headline(self) -> str:
        """The sizes."""
        before, after = self.n_bytes
        return f"{megabytes(before)} become {megabytes(after)} ({after / before:.2f})"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each measure."""
        return [{**vars(score), "change": score.change} for score in self.scores]

    def lines(self, first: Sequence[str] = ()) -> list[str]:
        """All of it as lines of plain text, the measures of these names first."""
        parts = [self.headline()]
        parts += [f"a call, on one thread here: {', '.join(map(str, self.speeds))}"] if self.speeds else []
        parts += [f"moved on the {self.n_rows} rows: {_moves(self.moved)}"] if self.n_rows else []
        parts += [f"moved on missing, unseen and extreme values: {_moves(self.moved_extreme)}"]
        return parts + _score_lines(sorted(self.scores, key=lambda score: score.measure not in first))


def cost_of(before: Model, after: Model, rows: Rows | None = None, *, seconds: float = 0.0) -> Cost:
    """What it costs to run one file in place of another for the same target and columns.

    ``rows``: as :func:`onnxlearn.inspection.rows.read_rows` gives them; without the truth there are no scores. ``seconds``:
    time spent on the speed of each file and batch size, 0: none.

    >>> import onnxlearn as ol
    >>> from onnxlearn.inspection.rows import read_rows
    >>> model = ol.learner("featureless").fit(ol.example_task("penguins"))
    >>> cost = cost_of(model, model, read_rows(model, "example:penguins"))
    >>> float(cost.to_frame()["change"].abs().max())
    0.0
    """
    both = (before, after)
    extreme = [_run(model, tried_feeds(before.schema, before.chunk_rows)) for model in both]
    given = [_run(model, rows.feeds) for model in both] if rows is not None else []
    return Cost(
        n_bytes=(len(before.to_bytes()), len(after.to_bytes())),
        n_rows=len(rows) if rows is not None else 0,
        moved=moved(*given) if given else {},
        moved_extreme=moved(*extreme),
        speeds=tuple(_speeds(both, seconds, rows)) if seconds else (),
        scores=tuple(_scores(before, given, rows)) if rows is not None and rows.truth is not None else (),
    )


def moved(before: Mapping[str, Array], after: Mapping[str, Array]) -> dict[str, float]:
    """The largest change of a number in each output; of labels and sets the share of rows that have another one.

    >>> moved({"label": np.array(["a", "b"])}, {"label": np.array(["a", "a"])})
    {'label': 0.5}
    """
    return {name: _moved(values, after[name]) for name, values in before.items()}


def _moved(before: Array, after: Array) -> float:
    if before.dtype.kind == "f":
        return float(np.abs(after - before).max(initial=0.0))
    differ = (before != after).reshape(len(before), -1).any(axis=1)
    return float(differ.mean()) if len(differ) else 0.0


def worse_by(measure: Measure, before: float, after: float) -> float:
    """How much worse a measure got: of classes in its own unit, of numbers as a share of its value where it has no upper bound.

    >>> from onnxlearn.measures import get
    >>> round(worse_by(get("acc"), 0.9, 0.85), 3), round(worse_by(get("rmse"), 200.0, 210.0), 3)
    (0.05, 0.05)
    """
    sizes = (abs(before), abs(after))
    change = {True: after - before, False: before - after, None: sizes[1] - sizes[0]}[measure.minimize]
    if measure.task != "regression" or math.isfinite(measure.high) or not change:
        return change
    return change / abs(before) if before else math.inf


def _run(model: Model, feeds: Feeds) -> dict[str, Array]:
    return model.predict_feeds(feeds)


def _scores(model: Model, outputs: Sequence[Mapping[str, Array]], rows: Rows) -> Iterator[Score]:
    before, after = (model.to_prediction(output, truth=rows.truth, weights=rows.weights).outcome() for output in outputs)
    for measure in all_measures():
        if _suits(measure, before, model.schema.target.type):
            yield Score(measure=measure.name, before=measure(before), after=measure(after))


def _suits(measure: Measure, outcome: Outcome, target_type: str) -> bool:
    from onnxlearn.errors import DataError

    if measure.task not in (target_type, "any"):
        return False
    with contextlib.suppress(DataError):
        measure.require(outcome)
        return True
    return False


def _speeds(models: Sequence[Model], seconds: float, rows: Rows | None) -> Iterator[Speed]:
    sizes = (1, min(LARGE_BATCH, MOST_CHUNKS * models[0].chunk_rows))
    feeds = rows.feeds if rows is not None else hostile_feeds(models[0].schema, max(sizes))
    alone = [Model(model.to_bytes(), provider="cpu", n_threads=1, trust=True) for model in models]
    for size in sizes:
        at = np.arange(size) % len(next(iter(feeds.values())))
        batch = taken(feeds, at)
        times = time_all([_running(model, batch) for model in alone], seconds=seconds, on_step=lambda: None)
        before, after = (1000 * float(np.median(np.concatenate(rounds))) for rounds in times)
        yield Speed(n_rows=size, before=before, after=after)


def _running(model: Model, feeds: Feeds) -> Any:
    return lambda: contextlib.nullcontext(lambda: model.predict_feeds(feeds))


def _moves(moves: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {_by_how_much(name, value)}" for name, value in moves.items())


def _by_how_much(name: str, value: float) -> str:
    return f"of {100 * value:.3g} % of rows" if name in ("label", "set", UNSEEN) else f"by up to {number(value)}"


def _score_lines(scores: Sequence[Score]) -> list[str]:
    """A table of what changes, measures with the same numbers side by side, and the names of what does not."""
    together: dict[tuple[str, str, str], list[str]] = {}
    for score in scores:
        if score.change and not math.isnan(score.change):
            cells = (f"{score.before:.6g}", f"{score.after:.6g}", f"{score.change:+.2g}")
            together.setdefault(cells, []).append(score.measure)
    table = [("before", "after", "change", "measure")] if together else []
    table += [(*cells, ", ".join(names)) for cells, names in together.items()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    same = [score.measure for score in scores if not score.change]
    undefined = [score.measure for score in scores if math.isnan(score.change)]
    lines += [f"unchanged: {', '.join(same)}"] if same else []
    return lines + ([f"without a value on these rows: {', '.join(undefined)}"] if undefined else [])
