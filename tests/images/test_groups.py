"""Groups of equal sizes hold every row once; results come back in the rows' order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnxlearn.images.groups import cut, groups_by_size, in_row_order

SIZES = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=40)


@given(SIZES)
def test_groups_and_back(sizes: list[tuple[int, int]]) -> None:
    array = np.array(sizes, dtype=np.int64).reshape(-1, 2)
    groups = groups_by_size(array)
    assert sorted(np.concatenate([np.zeros(0, int), *groups]).tolist()) == list(range(len(sizes)))
    for group in groups:
        assert len({sizes[i] for i in group}) == 1
        assert group.tolist() == sorted(group)
    firsts = list(dict.fromkeys(sizes))
    assert list(dict.fromkeys(sizes[group[0]] for group in groups)) == firsts
    assert len(groups) == len(firsts)
    if groups:
        results = [np.stack([group, group * 10], axis=1) for group in groups]
        rows = np.arange(len(sizes))
        np.testing.assert_array_equal(in_row_order(groups, results), np.stack([rows, rows * 10], axis=1))


def test_results_of_text() -> None:
    groups = groups_by_size(np.array([[1, 1], [2, 2], [1, 1]]))
    assert in_row_order(groups, [np.array(["a", "c"], object), np.array(["b"], object)]).tolist() == ["a", "b", "c"]


def test_groups_are_cut_where_images_are_large() -> None:
    sizes = np.array([[700, 900], [20, 20], [700, 900], [20, 20], [20, 20]])
    parts = cut(groups_by_size(sizes), sizes, 1)
    assert [part.tolist() for part in parts] == [[0], [2], [1, 3, 4]]
    # Both columns of a row count.
    both = np.full((3, 4), 600)
    assert [len(part) for part in cut(groups_by_size(both), both, 1)] == [1, 1, 1]
    assert [len(part) for part in cut(groups_by_size(both[:, :2]), both[:, :2], 1)] == [2, 1]
