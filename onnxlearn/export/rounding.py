"""What it costs to give a model its numbers as float32."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.errors import ExportError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.preprocess.power import Power
from onnxlearn.wire.form import Form

if TYPE_CHECKING:
    from onnxlearn.graph.recipe import Made, Step
    from onnxlearn.model import Model

Array = np.ndarray[Any, np.dtype[Any]]

# The more a row costs, the fewer.
MAX_ROWS, MIN_ROWS = 1000, 64
# A column that is rounded by more, in parts of its spread in training, is named.
WORTH_TELLING = 1e-4


def told_rounding(model: Model) -> list[str]:
    """Lines that tell which columns float32 rounds noticeably, and how far it moves the model's outputs.

    Measured on rows drawn within the range that each column had in training, which the model's preprocessing knows.
    """
    ranges = dict(_ranges(model))
    whole = {column.name for column in model.schema.features if column.dtype == "int64"} & set(ranges)
    ranges |= {name: (np.round(ranges[name][0]), ranges[name][1]) for name in whole}
    n_rows = max(MIN_ROWS, min(MAX_ROWS, model.chunk_rows))
    feeds = _drawn_feeds(model, ranges, n_rows, whole)
    rounded = Form(float_type="float32").rounded(feeds, model.schema)
    lines = [
        f"float32 {told} of column {name!r}: {way_out}, or keep float64"
        for name, (values, spread) in ranges.items()
        for told, way_out in _losses(float(np.abs(values).max()), spread, whole=name in whole)
    ]
    rows = f"{n_rows} rows drawn within the range of training" if ranges else f"{n_rows} hostile rows"
    return [*lines, f"numbers in float32 move, on {rows}, {_told_change(model, feeds, rounded)}"]


def _losses(largest: float, spread: float, *, whole: bool) -> Iterator[tuple[str, str]]:
    """What happens to a column and the way out, where that is worth telling."""
    if largest > float(np.finfo(np.float32).max):
        yield f"cannot hold numbers like {largest:.2g}", "train on the column divided by a constant"
        return
    step = float(np.spacing(np.float32(largest)))
    if whole and step <= 1:
        return
    if step > WORTH_TELLING * spread:
        parts = f"{step / spread:.2g} of the spread in training" if spread else "more than the spread in training"
        yield f"has steps of {step:.3g} alone, {parts},", "train on its distance from a number nearby"


def _ranges(model: Model) -> Iterator[tuple[str, tuple[Array, float]]]:
    """Of each column that comes as a number: numbers as they were in training, and how far these spread."""
    import onnx

    from onnxlearn.graph.recipe import read_recipe
    from onnxlearn.graph.split import split

    wanted = {column.name for column in model.schema.features if column.kind == "numeric"}
    recipes: Mapping[str, tuple[Made | None, ...]] = {}
    # A file of another writer may have no preprocessing of ours.
    with contextlib.suppress(ExportError):
        recipes = read_recipe(split(onnx.load_from_string(model.to_bytes())).prep, model.schema)
    for made in (made for columns in recipes.values() for made in columns if made):
        if made.feature in wanted and (values := _typical(made)) is not None:
            wanted.discard(made.feature)
            yield made.feature, values


def _typical(made: Made) -> tuple[Array, float] | None:
    steps: Mapping[str, Step] = {step["step"]: step for step in made.steps}
    if "quantile" in steps:
        knots = np.array(steps["quantile"]["knots"])
        return (
            None
            if knots[0] == knots[-1]
            else (knots, max(float(np.subtract(*np.percentile(knots, [75, 25]))), float(np.ptp(knots)) / 100))
        )
    if "scale" in steps and "clip" in steps and steps["clip"]["low"] < steps["clip"]["high"]:
        center, scale = steps["scale"]["center"], steps["scale"]["scale"]
        values = center + scale * np.linspace(-2, 2, 401)
        if "power" not in steps:
            return values, scale
        numbers = _power(steps["power"], steps["clip"]).inverse(values)
        return numbers, float(np.subtract(*np.percentile(numbers, [75, 25]))) / 2
    return None


def _power(step: Step, clip: Step) -> Power:
    pairs = {name: np.array([step[side][name] for side in ("negative", "other")]) for name in step["other"]}
    return Power(shift=np.asarray(step["shift"]), **pairs, low=np.asarray(clip["low"]), high=np.asarray(clip["high"]))


def _drawn_feeds(
    model: Model, ranges: Mapping[str, tuple[Array, float]], n_rows: int, whole: Collection[str]
) -> dict[str, Array]:
    """Rows of training's numbers, and of anything for the other columns."""
    rng = np.random.default_rng(0)
    feeds = hostile_feeds(model.schema, n_rows)
    for name, (values, _) in ranges.items():
        between = rng.uniform(0, len(values) - 1, (n_rows, 1))
        drawn = np.interp(between, np.arange(len(values)), values)
        feeds[name] = (np.round(drawn) if name in whole else drawn).astype(feeds[name].dtype)
    return feeds


def _told_change(model: Model, feeds: dict[str, Array], rounded: dict[str, Array]) -> str:
    before, after = model.predict_feeds(feeds), model.predict_feeds(rounded)
    moved = {
        name: float(np.abs(before[name] - after[name]).max(initial=0.0)) for name in before if before[name].dtype.kind == "f"
    }
    changes = ", ".join(f"{name} by {change:.2g}" for name, change in moved.items())
    labels = int((before["label"] != after["label"]).sum()) if "label" in before else 0
    flips = f"; {labels} labels are others" if "label" in before else ""
    return f"{changes} at most{flips}"
