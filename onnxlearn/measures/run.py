"""What a run took: seconds and bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from onnxlearn.errors import DataError
from onnxlearn.measures.base import Measure
from onnxlearn.measures.outcome import Outcome


def _total(fields: Sequence[str], outcome: Outcome) -> float:
    values = {field: getattr(outcome.run, field) for field in fields}
    for field, value in values.items():
        if value is None:
            raise DataError(f"this run has no {field}: it was not measured; choose another measure")
    return float(sum(values.values()))


def _run(name: str, fields: Sequence[str], summary: str) -> Measure:
    return Measure(
        name=name,
        function=partial(_total, fields),
        summary=summary,
        task="any",
        needs="run",
        low=0,
        high=np.inf,
        minimize=True,
        weighted=False,
    )


MEASURES: tuple[Measure, ...] = (
    _run("time_train", ("seconds_train",), "seconds to fit, export included"),
    _run("time_predict", ("seconds_predict",), "seconds to predict the rows"),
    _run("time_both", ("seconds_train", "seconds_predict"), "seconds to fit and predict"),
    _run("file_size", ("n_bytes",), "bytes of the file"),
)
