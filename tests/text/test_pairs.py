"""Hashed pairs of words: the graph and numpy agree, unknown words have none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.operators import OPERATORS
from onnxlearn.runtime import open_session
from onnxlearn.text.pairs import HashedPairs
from onnxlearn.text.tfidf import TfIdf

PAIRS = HashedPairs(n_words=100_000, n_buckets=1 << 10)


def make_model(tfidf=None):
    g = GraphBuilder()
    ids = g.input("ids", "INT64", ["N", "L"])
    with g.scope("prep"):
        y = PAIRS.emit(g, ids)
        y = tfidf.emit(g, y) if tfidf else y
    g.output(y, "y", "FLOAT" if tfidf else "INT64", ["N", "M"])
    return g.to_model()


MODEL = make_model()
SESSION = open_session(MODEL.SerializeToString())


@given(arrays(np.int64, st.tuples(st.integers(0, 4), st.integers(1, 6)), elements=st.integers(0, 99_999)))
def test_the_graph_gives_the_ids_of_numpy(ids):
    assert SESSION.run(None, {"ids": ids})[0].tolist() == PAIRS.ids(ids).tolist()
    assert PAIRS.ids(ids).shape == (len(ids), 2 * ids.shape[1] - 1)
    assert PAIRS.ids(ids).max(initial=0) < PAIRS.n_ids


def test_operators_that_a_file_may_use():
    assert {node.op_type for node in MODEL.graph.node} <= OPERATORS[""]


def test_the_order_of_two_words_counts_and_an_unknown_one_has_no_pair():
    pairs = PAIRS.ids(np.array([[2, 3], [3, 2], [2, 1], [2, 0]]))[:, 2]
    assert pairs[0] != pairs[1]
    assert pairs[2:].tolist() == [0, 0]


def test_tfidf_counts_pairs_beside_words():
    ids = np.array([[2, 3, 2, 3], [2, 4, 0, 0]])
    joined = PAIRS.ids(ids)
    y = open_session(make_model(TfIdf.fit(joined, PAIRS.n_ids)).SerializeToString()).run(None, {"ids": ids})[0]
    assert y.shape == (2, PAIRS.n_ids - 2)
    weights = y[0, joined[0] - 2]
    assert weights[1] == pytest.approx(weights[4]), "the word 3 and the pair 2 3 stand twice in the first text alone"


def test_wrong_settings_are_refused():
    with pytest.raises(ParameterError, match="n_buckets"):
        HashedPairs(10, 0)
