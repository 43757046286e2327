"""A row that is usual for a model: what its file itself puts in the place of a missing number or date.

It is made of the file alone, so that no row of a training table leaves with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.errors import ExportError
from onnxlearn.wire.examples import example_feeds
from onnxlearn.wire.values import WIRE_TYPES

if TYPE_CHECKING:
    from onnxlearn.graph.recipe import Made
    from onnxlearn.model import Model
    from onnxlearn.schema import Column
    from onnxlearn.wire.feeds import Feeds

_HOUR, _HOURS = 3_600_000_000, 24
# Of a median as a table gives it: what is shown of it, and of it in its scale.
_DIGITS, _SCALE_DIGITS = 6, 3


def usual_feeds(model: Model) -> Feeds:
    """One row: numbers and dates as preprocessing fills them in (their medians), the first level, true.

    A column whose filling the file does not tell, since the model has no use for it, say, keeps the value of
    :func:`onnxlearn.wire.examples.example_feeds`.

    >>> import onnxlearn as ol
    >>> model = ol.learner("linear", max_epochs=1).fit(ol.example_task("penguins"), progress=False)
    >>> {name: array.item() for name, array in usual_feeds(model).items() if name in ("island", "body_mass_g", "year")}
    {'island': 'Biscoe', 'body_mass_g': 4050.0, 'year': 2008.0}
    """
    feeds, filled = example_feeds(model.schema, 1), _filled(model)
    for column in model.schema.features:
        if column.name in filled and column.kind in ("numeric", "datetime"):
            feeds[column.name] = np.array([[_value(column, filled[column.name])]], WIRE_TYPES[column.onnx_type])
    return feeds


def _value(column: Column, steps: Mapping[str, Any]) -> Any:
    value = float(steps["fill"]["value"])
    if column.kind == "datetime":
        return round(value * _HOURS) * _HOUR
    if column.dtype == "int64":
        return float(round(value))
    # Behind a power the scale is in another unit than the value.
    return _rounded(value, 0.0 if "power" in steps else float(steps.get("scale", {}).get("scale", 0)))


def _rounded(value: float, scale: float) -> float:
    """As many digits as tell values apart that lie ``scale`` from each other; 0: not known.

    >>> _rounded(44.2519, 8.9), _rounded(0.0325488, 0.966), _rounded(1.7e9 + 1.2345, 2.0)
    (44.25, 0.033, 1700000001.23)
    >>> _rounded(1234567.8, 0), _rounded(-1e-6, 1)
    (1234570.0, 0.0)
    """
    if scale <= 0:
        return float(f"{value:.{_DIGITS}g}")
    # No minus before a zero.
    return round(value, _SCALE_DIGITS - 1 - math.floor(math.log10(scale))) + 0.0


def _filled(model: Model) -> Mapping[str, Mapping[str, Any]]:
    """The steps of preprocessing by name, of each number and date that it fills in; dates are in days since 1970."""
    import onnx

    from onnxlearn.graph.recipe import read_recipe
    from onnxlearn.graph.split import split

    try:
        prep = split(onnx.load_from_string(model.to_bytes())).prep
    except ExportError:
        # Another program may have made it: the network reads more than numbers and codes.
        return {}
    filled: dict[str, Mapping[str, Any]] = {}
    for made in itertools.chain(*read_recipe(prep, model.schema).values()):
        if made is not None and _fills(made):
            filled.setdefault(made.feature, {step["step"]: step for step in made.steps})
    return filled


def _fills(made: Made) -> bool:
    """Whether a column is filled in as it is, or is the days of a date that are."""
    steps = [step for step in made.steps if step != {"step": "date_part", "part": "elapsed"}]
    return bool(steps) and steps[0]["step"] == "fill"
