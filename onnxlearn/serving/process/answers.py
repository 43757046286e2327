"""Predictions as JSON text: all rows of an answer have one form, made once for a model, and fill in their values."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from onnxlearn.prediction import one_row
from onnxlearn.schema import Target
from onnxlearn.serving.batching import Outputs
from onnxlearn.signature import Output

# Where a value will stand; no class or target is called so.
_HOLE = uuid.uuid4().hex


class RowWriter:
    """Writes the rows of answers for one model, each as ``predict_one`` has it.

    An object for every row would have to be made before it is written, which takes twice as long.
    """

    def __init__(self, target: Target, outputs: Mapping[str, Output]) -> None:
        self._target = target
        self._form = _form(target, outputs)
        self._labels = {label: orjson.dumps(label) for label in target.classes}

    def text(self, outputs: Outputs) -> bytes:
        """A JSON array with an object for each row of the model's outputs; NaN is null."""
        n_rows = len(next(iter(outputs.values())))
        if not n_rows:
            return b"[]"
        columns = []
        for name, array in outputs.items():
            values = self._values(name, array)
            n_columns = len(values) // n_rows
            columns += [values[i::n_columns] for i in range(n_columns)]
        return b"[" + b",".join(map(self._form.__mod__, zip(*columns, strict=True))) + b"]"

    def _values(self, name: str, array: np.ndarray[Any, Any]) -> list[bytes]:
        """The text of each value, row by row."""
        if name == "label":
            return [self._labels.get(label) or orjson.dumps(label) for label in array.tolist()]
        if name == "set":
            return [orjson.dumps(list(itertools.compress(self._target.classes, row))) for row in array.tolist()]
        flat = array.ravel().tolist()
        if array.dtype.kind in "OU":
            return list(map(orjson.dumps, flat))
        # Numbers have no commas of their own.
        return orjson.dumps(flat)[1:-1].split(b",") if flat else []


def _form(target: Target, outputs: Mapping[str, Output]) -> bytes:
    axes = {name: output.axis for name, output in outputs.items()}
    holes = {name: np.full((1, *output.row_shape), _HOLE, object) for name, output in outputs.items()}
    # These two are no numbers of the output but what they stand for.
    row = one_row(target, holes, axes) | {name: _HOLE for name in ("label", "set") if name in outputs}
    text: bytes = orjson.dumps(row, option=orjson.OPT_NON_STR_KEYS)
    return text.replace(b"%", b"%%").replace(orjson.dumps(_HOLE), b"%b")
