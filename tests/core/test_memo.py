"""Kept results: a few, the latest, never an error."""

import threading

import pytest

from onnxlearn.memo import Memo


def test_a_result_is_made_once_for_each_key():
    made, memo = [], Memo()

    def make(key):
        made.append(key)
        return key * 2

    assert [memo.get(key, lambda key=key: make(key)) for key in ("a", "b", "a")] == ["aa", "bb", "aa"]
    assert made == ["a", "b"]


def test_what_was_not_asked_for_longest_makes_room():
    memo = Memo(size=2)
    for key in ("a", "b", "a", "c"):
        memo.get(key, lambda key=key: key)
    assert len(memo) == 2
    assert [memo.get(key, lambda: "new") for key in ("c", "a", "b")] == ["c", "a", "new"]


def test_nothing_is_kept_of_an_error():
    memo = Memo()
    with pytest.raises(ZeroDivisionError):
        memo.get("a", lambda: 1 / 0)
    assert memo.get("a", lambda: 1) == 1


def test_a_result_may_ask_for_another_one():
    memo = Memo()
    assert memo.get("outer", lambda: memo.get("inner", lambda: 1) + 1) == 2


def test_threads_share_what_is_kept():
    memo, found = Memo(size=3), []

    def ask(i):
        found.extend(memo.get(key % 5, lambda key=key: key % 5) == key % 5 for key in range(i, i + 500))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4000
    assert all(found)
    assert len(memo) == 3


def test_everything_can_be_forgotten():
    memo = Memo()
    memo.get("a", lambda: 1)
    memo.clear()
    assert memo.get("a", lambda: 2) == 2
