"""Which rows belong to which fold."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from onnxlearn.errors import MissingExtraError, ParameterError
from onnxlearn.tasks.holdout import group_ends

Codes = NDArray[np.int64]


def fold_numbers(
    n_rows: int,
    n_folds: int,
    seed: int,
    *,
    strata: Codes | None = None,
    groups: Codes | None = None,
    order: Codes | None = None,
) -> Codes:
    """The fold 0.. of each row, int64 ``[n_rows]``, the same for the same seed.

    With ``order`` the folds are consecutive (equal values stay together); with ``groups`` whole groups; the strata are
    spread evenly, as well as groups allow.

    Raises: ParameterError where there are fewer rows, groups or points in time than folds; MissingExtraError.
    """
    units = {"groups": groups, "points in time": order}
    counts = [(len(np.unique(codes)), what) for what, codes in units.items() if codes is not None]
    n_units, what = min([(n_rows, "rows"), *counts])
    if n_units < n_folds:
        there, way_out = ("is", f"give more {what}") if n_units == 1 else ("are", "take fewer folds")
        raise ParameterError(f"{n_folds} folds need as many {what}, there {there} {n_units}: {way_out}")
    if order is not None:
        return _consecutive(order if groups is None else group_ends(order, groups), n_folds)
    if groups is None:
        return _spread(np.zeros(n_rows, np.int64) if strata is None else strata, n_folds, seed)
    return _grouped(groups, strata, n_folds, seed)


def _spread(strata: Codes, n_folds: int, seed: int) -> Codes:
    """The rows of each stratum in random order, dealt to the folds in turn, one stratum after the other."""
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    numbers = np.empty(len(strata), np.int64)
    numbers[shuffled[np.argsort(strata[shuffled], kind="stable")]] = np.arange(len(strata)) % n_folds
    return numbers


def _grouped(groups: Codes, strata: Codes | None, n_folds: int, seed: int) -> Codes:
    """Whole groups, by scikit-learn, which balances the strata as well as it can."""
    try:
        from sklearn import model_selection
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("scikit-learn", "eval", "folds of whole groups") from error
    # Strata that are all smaller than the number of folds cannot be spread; scikit-learn would refuse.
    stratified = strata is not None and np.bincount(strata).max() >= n_folds
    splitter = model_selection.StratifiedGroupKFold if stratified else model_selection.GroupKFold
    numbers = np.empty(len(groups), np.int64)
    with warnings.catch_warnings():
        # Of a stratum that is smaller than the number of folds; such a one misses in some.
        warnings.simplefilter("ignore", UserWarning)
        parts = splitter(n_folds, shuffle=True, random_state=seed).split(np.zeros(len(groups)), strata, groups)
        for number, (_, rows) in enumerate(parts):
            numbers[rows] = number
    return _filled(numbers, groups, n_folds)


def _filled(numbers: Codes, groups: Codes, n_folds: int) -> Codes:
    """A fold that scikit-learn left without a group gets the smallest one of the fold that has most."""
    sizes = np.bincount(groups)
    for empty in np.setdiff1d(np.arange(n_folds), numbers):
        most = max((np.unique(groups[numbers == fold]) for fold in range(n_folds)), key=len)
        numbers[groups == most[sizes[most].argmin()]] = empty
    return numbers


def _consecutive(order: Codes, n_folds: int) -> Codes:
    """Folds that follow each other, cut between two values nearest to equal sizes."""
    values, positions, counts = np.unique(order, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - counts / 2
    numbers = np.minimum((middles * n_folds / len(order)).astype(np.int64), n_folds - 1)
    # Large ties could leave a fold empty: every fold gets a value of its own.
    numbers = np.maximum(numbers, np.arange(len(values)) - (len(values) - n_folds))
    numbers[0] = 0
    for i in range(1, len(numbers)):
        numbers[i] = min(numbers[i], numbers[i - 1] + 1)
    return np.asarray(numbers[positions])
