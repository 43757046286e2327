"""The splits of a task's rows, made once and used by every learner."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import DataError, ParameterError
from onnxlearn.files.outputs import atomic_path
from onnxlearn.resampling.fingerprint import Fingerprint

if TYPE_CHECKING:
    import pandas as pd

    from onnxlearn.task import Task

Array: TypeAlias = NDArray[np.int64]

FORMAT = "onnxlearn splits"
FORMAT_VERSION = 1
REST = "rest"


@dataclass(frozen=True, kw_only=True, eq=False)
class Iteration:
    """One fit and its scores: rows to train on and rows to score, int64, and where it stands in the resampling.

    ``train`` is ``None`` where it is all rows but those of ``test``, so that leave-one-out of many rows needs no more memory
    than they do. ``inner``: the splits of the training rows in a nested resampling.
    """

    test: Array
    train: Array | None = None
    repeat: int = 0
    fold: int = 0
    inner: tuple[Iteration, ...] = ()

    def at(self, index: Array) -> Iteration:
        """The same of rows that stand at ``index``."""
        return Iteration(
            test=_sorted(index[self.test]),
            train=None if self.train is None else _sorted(index[self.train]),
            repeat=self.repeat,
            fold=self.fold,
            inner=self.inner,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        inner = {"inner": [iteration.to_dict() for iteration in self.inner]} if self.inner else {}
        train = REST if self.train is None else self.train.tolist()
        return {"repeat": self.repeat, "fold": self.fold, "test": self.test.tolist(), "train": train, **inner}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], n_rows: int) -> Iteration:
        """Inverse of :meth:`to_dict`; ``ValueError`` for rows that are none of ``n_rows``."""
        return cls(
            test=_rows(data["test"], n_rows),
            train=None if data["train"] == REST else _rows(data["train"], n_rows),
            repeat=int(data["repeat"]),
            fold=int(data["fold"]),
            inner=tuple(cls.from_dict(inner, n_rows) for inner in data.get("inner", ())),
        )


def _sorted(rows: Array) -> Array:
    """In ascending order, and shared from now on."""
    rows = np.sort(rows)
    rows.setflags(write=False)
    return rows


def _rows(given: Sequence[int], n_rows: int) -> Array:
    rows = np.array(given)
    if rows.ndim != 1 or rows.dtype.kind != "i" or rows.min() < 0 or rows.max() >= n_rows:
        raise ValueError(f"rows have to lie in 0..{n_rows - 1}")
    return _sorted(rows.astype(np.int64))


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """The splits that a resampling made of a task: pairs of training and test rows, int64, in ascending order.

    Iterating gives the pairs. ``resampling`` describes what made them (:meth:`Resampling.from_dict` makes it again), ``task``
    the task that they are of. ``rows`` are those that were split: all of the task's, or in :meth:`inner` the outer training
    rows.

    >>> import onnxlearn as ol, pandas as pd
    >>> task = ol.Task.from_frame(pd.DataFrame({"x": [1.5, 2.5, 3.5, 4.5], "y": [0.5, 1.5, 2.5, 3.5]}), target="y")
    >>> splits = ol.LeaveOneOut().split(task)
    >>> splits
    Splits('loo', 4 iterations, task 'y' with 4 rows)
    >>> [(train.tolist(), test.tolist()) for train, test in splits][1]
    ([0, 2, 3], [1])
    """

    resampling: Mapping[str, Any]
    task: Fingerprint
    rows: Array
    iterations: tuple[Iteration, ...]

    @property
    def n_rows(self) -> int:
        """Number of rows of the task."""
        return self.task.n_rows

    def train(self, i: int) -> Array:
        """Rows to train on in iteration ``i``, positions in the task; a bootstrap has some more than once."""
        iteration = self._iteration(i)
        if iteration.train is not None:
            return iteration.train
        kept = np.ones(self.n_rows, dtype=bool)
        kept[iteration.test] = False
        return np.asarray(self.rows[kept[self.rows]])

    def test(self, i: int) -> Array:
        """Rows to score in iteration ``i``, positions in the task."""
        return self._iteration(i).test

    def repeat(self, i: int) -> int:
        """Which repetition of the resampling iteration ``i`` belongs to, from 0."""
        return self._iteration(i).repeat

    def fold(self, i: int) -> int:
        """Number of iteration ``i`` within its repetition, from 0."""
        return self._iteration(i).fold

    def inner(self, i: int) -> Splits:
        """The inner splits of iteration ``i``: of its training rows, as positions in the task.

        Raises: ParameterError unless the resampling is nested.
        """
        iteration = self._iteration(i)
        if not iteration.inner:
            raise ParameterError(
                f"the resampling {self.resampling['name']!r} has no inner splits: make them with ol.Nested(outer, inner)"
            )
        resampling = self.resampling["params"]["inner"]
        return Splits(resampling=resampling, task=self.task, rows=self.train(i), iterations=iteration.inner)

    def __len__(self) -> int:
        return len(self.iterations)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        return ((self.train(i), self.test(i)) for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Splits) and self.to_dict() == other.to_dict() and np.array_equal(self.rows, other.rows)

    def __hash__(self) -> int:
        return hash((self.task.sha256, len(self)))

    def __repr__(self) -> str:
        return f"Splits({self.resampling['name']!r}, {len(self)} iterations, task {self.task.name!r} with {self.n_rows} rows)"

    def _iteration(self, i: int) -> Iteration:
        if not 0 <= i < len(self):
            raise ParameterError(f"iterations are numbered 0..{len(self) - 1}, there is no {i!r}")
        return self.iterations[i]

    def _head(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "resampling": dict(self.resampling),
            "task": self.task.to_dict(),
        }

    def require(self, task: Task) -> None:
        """Raise ``DataError`` unless they are of this task: the same target, strata, groups and order, row by row."""
        self.task.require(task)

    def to_frame(self) -> pd.DataFrame:
        """One line per iteration, set (``train``, ``test``) and row."""
        import pandas as pd

        sets = [(i, name, rows) for i, pair in enumerate(self) for name, rows in zip(("train", "test"), pair, strict=True)]
        sizes = [len(rows) for _, _, rows in sets]
        return pd.DataFrame(
            {
                "iteration": np.repeat([i for i, _, _ in sets], sizes),
                "set": np.repeat(np.array([name for _, name, _ in sets], dtype=object), sizes),
                "row": np.concatenate([rows for _, _, rows in sets]),
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as in the file."""
        return {**self._head(), "iterations": [iteration.to_dict() for iteration in self.iterations]}

    def save(self, path: str | Path) -> None:
        """Write them to one JSON file, which appears whole.

        ``iterations`` holds one object a line with the ``repeat`` and ``fold`` that it is, and its ``train`` and ``test`` rows,
        counted from 0; ``"train": "rest"`` are all rows that are not in ``test``. Those of ``inner`` are of the training rows.

        Raises: OutputError with the reason.
        """
        head = json.dumps(self._head(), indent=1, ensure_ascii=False).removesuffix("\n}")
        lines = ",\n".join(json.dumps(iteration.to_dict(), separators=(",", ":")) for iteration in self.iterations)
        with atomic_path(path) as temporary:
            temporary.write_text(f'{head},\n "iterations": [\n{lines}\n ]\n}}\n', encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Splits:
        """Read what :meth:`save` wrote; :meth:`require` tells whether they are of a task.

        Raises: DataError where the file is none of splits, of a newer format or damaged.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"cannot read the splits in {str(path)!r}: {error.strerror}; check the path") from error
        except ValueError as error:
            raise DataError(f"{str(path)!r} is no file of splits, or damaged: {error}; save them again") from error
        return cls.from_dict(data, source=repr(str(path)))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, source: str = "this") -> Splits:
        """Inverse of :meth:`to_dict`; ``source`` names where the data are from in messages. Raises: DataError."""
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise DataError(f'{source} is no file of splits: it lacks "format": "{FORMAT}"; save some with splits.save(path)')
        if data.get("format_version") != FORMAT_VERSION:
            raise DataError(
                f"{source} has splits of format {data.get('format_version')}, this version of onnxlearn reads "
                f"{FORMAT_VERSION}: upgrade onnxlearn, or split the task anew"
            )
        try:
            task = Fingerprint.from_dict(data["task"])
            iterations = tuple(Iteration.from_dict(iteration, task.n_rows) for iteration in data["iterations"])
            rows = np.arange(task.n_rows)
            return cls(resampling=data["resampling"], task=task, rows=rows, iterations=iterations)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{source} holds damaged splits ({error}): save them again, or split the task anew") from error
