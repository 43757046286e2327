"""Nested resampling: inner scores choose, outer scores judge the choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxlearn.errors import DataError, ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from onnxlearn.measures import Measure

PLACE = ["task", "resampling", "iteration"]


def chosen_by_inner(scores: pd.DataFrame, inner: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """One line for each outer iteration: the learner with the best mean over the inner splits, that mean, the outer score.

    Of equal learners the first is taken. One that failed on an inner split has no mean and is not chosen.

    Raises: DataError without inner scores, and where no learner has a mean; ParameterError for a measure without a better end.
    """
    if measure.minimize is None:
        raise ParameterError(f"measure {measure.name!r} is best near 0 and has no better and worse end: choose by another one")
    if inner.empty:
        raise DataError("there are no inner scores to choose by: benchmark with ol.Nested(outer, inner)")
    by_learner = inner.groupby([*PLACE, "learner"], sort=False)[measure.name]
    means = by_learner.mean().where(by_learner.count() == by_learner.size()).rename("inner").reset_index()
    place = means.loc[means["inner"].isna().groupby([means[name] for name in PLACE]).transform("all"), PLACE]
    if not place.empty:
        task, _, iteration = place.iloc[0]
        raise DataError(
            f"no learner has an {measure.name} on all inner splits of iteration {iteration} of task {task!r}: see .errors; a "
            "fallback learner gives failed fits a score"
        )
    costs = means["inner"] if measure.minimize else -means["inner"]
    best = means.loc[costs.groupby([means[name] for name in PLACE], sort=False).idxmin()]
    outer = scores[[*PLACE, "learner", measure.name]].rename(columns={measure.name: "outer"})
    return best.merge(outer, on=[*PLACE, "learner"], how="left").reset_index(drop=True)
