"""A digest of a task's data."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnxlearn.task import Task

Array = np.ndarray[Any, np.dtype[Any]]


def task_fingerprint(task: Task) -> str:
    """SHA-256 of all that a fit reads: schema, features, target and the columns with a role, row by row.

    >>> import pandas as pd
    >>> from onnxlearn import Task
    >>> frame = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.5]})
    >>> one, other = Task.from_frame(frame, "y"), Task.from_frame(frame.assign(x=[1.0, 2.5]), "y")
    >>> task_fingerprint(one) == task_fingerprint(one.select([0, 1])), task_fingerprint(one) == task_fingerprint(other)
    (True, False)
    """
    digest = hashlib.sha256(json.dumps(task.schema.to_dict(), sort_keys=True).encode())
    roles = {"truth": task.truth(), "weights": task.weights(), "groups": task.groups(), "strata": task.strata()}
    for name, array in {**task.feeds(), **roles, "order": task.order()}.items():
        digest.update(name.encode() + b"\0")
        if array is not None:
            digest.update(array.content() if hasattr(array, "content") else _content(array))
    return digest.hexdigest()


def _content(array: Array) -> bytes:
    """Type, shape and values; texts with their lengths, so that no two arrays look alike."""
    head = f"{array.dtype.str}{array.shape}".encode()
    if array.dtype != object:
        return head + np.ascontiguousarray(array).tobytes()
    return head + json.dumps(array.ravel().tolist()).encode()
