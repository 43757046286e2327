"""Which classes and strata the splits lose, and what to say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import ParameterError, listing
from onnxlearn.resampling.rows import Codes, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxlearn.resampling.splits import Iteration

_NO_TRAIN = "a model cannot learn them there"
_NO_TEST = "measures that need every class, such as auc, are undefined there"


class ResamplingWarning(UserWarning):
    """Some splits lack a class or a stratum."""


def lost_classes(rows: Rows, iterations: Sequence[Iteration], *, in_test: bool = True) -> list[str]:
    """A text for training rows that lack a class that the rows have, and one for such test rows if ``in_test``."""
    if rows.classes is None:
        return []
    truth, classes = rows.task.truth(), rows.task.schema.target.classes
    total = np.bincount(rows.classes, minlength=len(classes))
    lost: dict[str, NDArray[np.int64]] = {part: np.zeros(len(classes), np.int64) for part in ("train", "test")}
    hit = dict.fromkeys(lost, 0)
    for iteration in iterations:
        tested = np.bincount(truth[iteration.test], minlength=len(classes))
        trained = total - tested if iteration.train is None else np.bincount(truth[iteration.train], minlength=len(classes))
        for part, counts in (("train", trained), ("test", tested)):
            gone = (counts == 0) & (total > 0)
            lost[part] += gone
            hit[part] += bool(gone.any())
    parts = {"train": ("training", _NO_TRAIN), "test": ("test", _NO_TEST)}
    target, texts = rows.task.schema.target.name, []
    for part, (what, why) in parts.items():
        if hit[part] and (part == "train" or in_test):
            names = listing(classes[code] for code in np.flatnonzero(lost[part]))
            texts.append(
                f"column {target!r}: the {what} rows of {hit[part]} of {len(iterations)} iterations have none of class "
                f"{names}; {why}: give more rows of it, merge rare classes, or split into fewer or larger parts"
            )
    return texts


def small_strata(rows: Rows, strata: Codes, folds: int, *, classes: bool) -> list[str]:
    """A text where a stratum has fewer rows than there are folds.

    Raises: ParameterError where that is true of all, which then cannot be spread.
    """
    _, first, counts = np.unique(strata, return_index=True, return_counts=True)
    small = np.flatnonzero(counts < folds)
    if not len(small):
        return []
    least = small[np.argmin(counts[small])]
    text = rows.stratum_text(int(first[least]), classes=classes)
    has = f"the stratum {text} has {_rows_text(counts[least])}"
    if len(small) == len(counts):
        without = ", stratify=False" if classes and rows.classes is not None else ""
        role = ", a task without stratum= (--stratum)" if rows.task.schema.stratum else ""
        raise ParameterError(
            f"{folds} folds need a stratum of at least {folds} rows, and none has so many: {has}, the largest "
            f"{_rows_text(counts.max())}; take fewer folds{without}{role}, or, of numbers, type='regression'"
        )
    others = f" (and {len(small) - 1} more like it)" if len(small) > 1 else ""
    lack = "the test rows of some folds have none of it; merge it with another, or take fewer folds"
    return [f"{has}, fewer than the {folds} folds{others}: {lack}"]


def require_two_alike(rows: Rows, strata: Codes | None, needed_by: str, *, classes: bool) -> None:
    """Raise ``ParameterError`` where every stratum has one row only, of which none can be set aside."""
    if strata is None or np.bincount(strata).max() > 1:
        return
    without = "stratify=False, " if classes and rows.classes is not None else ""
    text = rows.stratum_text(0, classes=classes)
    raise ParameterError(
        f"{needed_by} sets rows of every stratum aside and leaves others, and each has 1 row only, like {text}: give more "
        f"rows, {without}another stratum or target, or, of numbers, type='regression'"
    )


def _rows_text(n: int) -> str:
    return f"{n} row" + ("" if n == 1 else "s")
