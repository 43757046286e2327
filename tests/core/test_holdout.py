"""Rows to set aside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxlearn.errors import ParameterError
from onnxlearn.tasks.holdout import holdout_rows

CODES = st.lists(st.integers(0, 4), min_size=6, max_size=60).map(lambda codes: np.array(codes, dtype=np.int64))
SHARES = st.floats(0.05, 0.9)


@given(codes=CODES, share=SHARES, seed=st.integers(0, 5))
@settings(deadline=None)
def test_every_stratum_gives_its_share(codes, share, seed):
    aside = holdout_rows(len(codes), share, seed, strata=codes)
    np.testing.assert_array_equal(aside, holdout_rows(len(codes), share, seed, strata=codes))
    wanted = min(max(round(len(codes) * share), 1), len(codes) - len(set(codes.tolist())))
    assert aside.sum() == wanted
    for code in set(codes.tolist()):
        of_code = codes == code
        assert not aside[of_code].all()
    if wanted == round(len(codes) * share) and np.bincount(codes)[np.unique(codes)].min() > 10 / (1 - share):
        counts = np.bincount(codes)
        assert np.all(np.abs(np.bincount(codes[aside], minlength=len(counts)) - counts * wanted / len(codes)) <= 1)


def test_shares_are_kept_to_the_row():
    codes = np.repeat([0, 1, 2], [100, 50, 10])
    aside = holdout_rows(160, 0.2, 0, strata=codes)
    assert np.bincount(codes[aside]).tolist() == [20, 10, 2]


def test_seeds_differ_and_rows_are_drawn_evenly():
    draws = np.array([holdout_rows(20, 0.25, seed) for seed in range(400)])
    assert (draws.sum(axis=1) == 5).all()
    # Binomial: 100 of 400 on average, deviation below 9.
    assert np.all(np.abs(draws.sum(axis=0) - 100) < 45)


@given(codes=CODES.filter(lambda codes: len(set(codes.tolist())) > 1), share=SHARES, seed=st.integers(0, 5))
@settings(deadline=None)
def test_groups_stay_together(codes, share, seed):
    aside = holdout_rows(len(codes), share, seed, groups=codes)
    assert 0 < aside.sum() < len(codes)
    assert not set(codes[aside].tolist()) & set(codes[~aside].tolist())


def test_groups_keep_the_share_and_the_classes():
    groups = np.repeat(np.arange(40), 5)
    classes = np.repeat(np.arange(40) % 4 == 0, 5).astype(np.int64)
    for seed in range(10):
        aside = holdout_rows(200, 0.25, seed, groups=groups, strata=classes)
        assert aside.sum() == 50
        assert 5 <= classes[aside].sum() <= 20


def test_groups_keep_the_balance_of_the_strata():
    groups = np.repeat(np.arange(40), 5)
    strata = np.repeat(np.arange(40) % 2, 5)
    off = {balanced: [] for balanced in (True, False)}
    for seed in range(20):
        for balanced, errors in off.items():
            aside = holdout_rows(200, 0.25, seed, groups=groups, strata=strata if balanced else None)
            assert aside.sum() == 50
            errors.append(abs(int(strata[aside].sum()) - 25))
    # Ten groups of forty: by chance alone five of either stratum come together in a quarter of the draws.
    assert max(off[True]) == 0 < max(off[False])


@given(codes=CODES.filter(lambda codes: len(set(codes.tolist())) > 1), share=SHARES)
@settings(deadline=None)
def test_the_latest_rows_by_order(codes, share):
    aside = holdout_rows(len(codes), share, 0, order=codes)
    assert codes[~aside].max() < codes[aside].min()


def test_order_with_groups():
    groups = np.array([0, 1, 0, 1, 2, 2, 3, 3])
    order = np.array([0, 1, 5, 2, 3, 4, 6, 7])
    aside = holdout_rows(8, 0.5, 0, order=order, groups=groups)
    assert set(groups[aside].tolist()) == {0, 3}


def test_order_cuts_at_the_share():
    assert np.flatnonzero(holdout_rows(10, 0.3, 0, order=np.arange(10)[::-1].copy())).tolist() == [0, 1, 2]


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan"), 2.0])
def test_shares_out_of_range(share):
    with pytest.raises(ParameterError, match="must lie between 0 and 1, both excluded; got"):
        holdout_rows(10, share, 0)


def test_parts_that_would_be_empty():
    with pytest.raises(ParameterError, match=r"5 rows cannot be parted at a share of 0\.5: one part would be empty"):
        holdout_rows(5, 0.5, 0, groups=np.zeros(5, dtype=np.int64))
    with pytest.raises(ParameterError, match="1 row cannot be parted"):
        holdout_rows(1, 0.5, 0)


def test_classes_of_one_row_each_are_the_reason():
    why = (
        r"500 rows cannot be parted at a share of 0\.15: a share of every class \(and stratum\) is set aside, and each has one "
        r"row only; name another target, say type='regression' \(--task regression\) .*\(validation=None\)$"
    )
    with pytest.raises(ParameterError, match=why):
        holdout_rows(500, 0.15, 0, strata=np.arange(500))


def test_rows_that_are_all_equally_late_are_told():
    with pytest.raises(ParameterError, match=r"5 rows cannot be parted .*: all have the same place in the order"):
        holdout_rows(5, 0.2, 0, order=np.zeros(5, np.int64))
