"""Which figures a section has, and why one is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from onnxlearn import plots
from onnxlearn.errors import DataError
from onnxlearn.experiments.results import BenchmarkResult
from onnxlearn.plots.canvas import root_figure
from onnxlearn.plots.curves import DRAWN
from onnxlearn.plots.training import MAX_EPOCHS, has_curves
from onnxlearn.reporting.parts import Part
from onnxlearn.reporting.svg import to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of more measures the first ones are drawn: the tables have all.
DRAWN_MEASURES = 4


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing and what it shows."""

    caption: str
    svg: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Figures of one kind under their title.

    ``missing``: what is not there, and why. ``folded``: whether the reader has to unfold it. ``wide``: whether a
    figure takes the page's width.
    """

    title: str
    note: str = ""
    figures: tuple[Figure, ...] = ()
    missing: tuple[str, ...] = ()
    folded: bool = False
    wide: bool = False


class Gallery:
    """Makes figures, each with a name of its own."""

    def __init__(self) -> None:
        self._n = 0

    def group(
        self,
        title: str,
        drawings: Sequence[tuple[str, Callable[[], Axes]]],
        *,
        note: str = "",
        folded: bool = False,
        wide: bool = False,
    ) -> Group:
        """Draw several, each with its caption; what cannot be drawn is named with the reason."""
        figures, missing = [], []
        for caption, draw in drawings:
            try:
                figures.append(Figure(caption=caption, svg=self._svg(draw())))
            except DataError as error:
                missing.append(f"{caption}: {error}")
        return Group(title=title, note=note, figures=tuple(figures), missing=tuple(missing), folded=folded, wide=wide)

    def _svg(self, axes: Axes) -> str:
        self._n += 1
        return to_svg(root_figure(axes), f"figure {self._n}")


def section_groups(part: Part, gallery: Gallery) -> Iterator[Group]:
    """The figures of a task: spread of scores, what suits its type, and learning curves."""
    result = part.result
    yield gallery.group(
        "Spread over the iterations",
        [(name, partial(plots.box, result, name)) for name in part.measures[:DRAWN_MEASURES]],
        note=""
        if len(part.measures) <= DRAWN_MEASURES
        else f"The first {DRAWN_MEASURES} of {len(part.measures)} measures; the tables have all.",
    )
    learners = list(dict.fromkeys(record.learner for record in part.records))
    each = {learner: result.filter(learners=[learner]) for learner in learners}
    if reason := _no_predictions(result):
        kinds = "ROC, precision-recall, calibration and confusion"
        kinds = kinds if part.records[0].task_type == "classification" else "predictions against the truth and residuals"
        yield Group(title="Predictions", missing=(f"There are no plots of {kinds}: {reason}",))
    elif part.records[0].task_type == "classification":
        yield from _of_classes(result, each, gallery)
    else:
        yield from _of_numbers(result, each, gallery)
    yield _learning_curves(each, gallery)


def _no_predictions(result: BenchmarkResult) -> str:
    """Why there are none, where there are none."""
    try:
        found = [result.prediction(record) for record in result.records]
    except DataError as error:
        return str(error)
    return "" if any(prediction is not None for prediction in found) else "all iterations failed"


def _of_classes(result: BenchmarkResult, each: dict[str, BenchmarkResult], gallery: Gallery) -> Iterator[Group]:
    yield gallery.group(
        "Curves",
        [
            ("ROC", partial(plots.roc, result)),
            ("Precision and recall", partial(plots.precision_recall, result)),
            ("Calibration", partial(plots.calibration, result)),
        ],
        note="Each curve is the mean over a learner's iterations; calibration is of all their test rows together, the larger "
        f"a point the more rows. A test row counts by its weight. Curves are drawn with at most {DRAWN} points.",
    )
    yield gallery.group(
        "Confusion",
        [(name, partial(plots.confusion, one)) for name, one in each.items()],
        note="Rows, or their weights, of all iterations: true classes down, predicted ones across; the stronger a cell, the "
        "larger its share of the true class.",
        folded=True,
    )


def _of_numbers(result: BenchmarkResult, each: dict[str, BenchmarkResult], gallery: Gallery) -> Iterator[Group]:
    target = next(p.target for record in result.records if (p := result.prediction(record)) is not None)
    titles = {"Predictions against the truth": plots.prediction_truth, "Residuals": plots.residuals}
    for title, plot in titles.items():
        drawings = [
            (name if len(target.names) == 1 else f"{name}, {column}", partial(plot, one, target=column))
            for name, one in each.items()
            for column in target.names
        ]
        yield gallery.group(title, drawings, note="The test rows of all iterations.", folded=title == "Residuals")


def _learning_curves(each: dict[str, BenchmarkResult], gallery: Gallery) -> Group:
    kept = {name: one for name, one in each.items() if any(has_curves(record) for record in one.records)}
    without = [name for name in each if name not in kept]
    group = gallery.group(
        "Learning curves",
        [(name, partial(plots.learning_curves, one)) for name, one in kept.items()],
        note="The training loop's own values, not those of the exported file: they are no scores. Of more than "
        f"{MAX_EPOCHS} epochs every k-th is drawn.",
        folded=True,
    )
    missing = (f"{', '.join(without)}: no curves: nothing was trained epoch by epoch, or histories=False.",) if without else ()
    return replace(group, missing=(*group.missing, *missing))


def comparison_group(part: Part, measure: str, gallery: Gallery) -> Group:
    """The critical-difference diagram of a measure."""
    tasks = list(dict.fromkeys(record.task for record in part.records if part.has(record.task, measure)))
    caption = f"{measure}: learners that a bar joins do not differ at the level 0.05 (Nemenyi)"
    return gallery.group(
        "Critical difference", [(caption, partial(plots.critical_difference, part.result.filter(tasks=tasks), measure))]
    )
