"""TF-IDF of the graph against scikit-learn's."""

import numpy as np
import onnx
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from onnxlearn.errors import DataError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.operators import OPERATORS
from onnxlearn.runtime import open_session
from onnxlearn.text.tfidf import TfIdf
from onnxlearn.text.vocabulary import Vocabulary
from onnxlearn.text.words import Splitter

WORDS = ["good", "bad", "Phone", "the", "screen", "iPhone", "MORE", "naïve", "😀"]


def drawn_texts(n):
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(1, 30))) + "!" for _ in range(n)]


def make_model(vocabulary, tfidf):
    g = GraphBuilder()
    texts = g.input("text", "STRING", ["N", 1])
    with g.scope("prep"):
        y = tfidf.emit(g, vocabulary.emit(g, texts))
    g.output(y, "tfidf", "FLOAT", ["N", vocabulary.max_words])
    return g.to_model()


def run(model, texts):
    return open_session(model.SerializeToString()).run(None, {"text": np.array(texts, object).reshape(-1, 1)})[0]


@pytest.mark.parametrize("sublinear", [False, True])
def test_equals_scikit_learn(sublinear):
    train, test = drawn_texts(200), [*drawn_texts(37), "", "zzz zzz", "zzz good GOOD"]
    vocabulary = Vocabulary.fit(train, Splitter(64), min_rows=1, max_words=12)
    tfidf = TfIdf.fit(vocabulary.ids(train), vocabulary.n_ids, sublinear=sublinear)
    theirs = TfidfVectorizer(
        analyzer=lambda text: [word.lower() for word in vocabulary.splitter.words(text)],
        vocabulary=vocabulary.words,
        sublinear_tf=sublinear,
    ).fit(train)
    ours = run(make_model(vocabulary, tfidf), test)
    assert ours.shape == (40, 12)
    np.testing.assert_allclose(ours[:, :9], theirs.transform(test).toarray(), rtol=0, atol=1e-6)
    assert not ours[:, 9:].any()


@pytest.mark.parametrize("n", [0, 1, 37])
def test_any_number_of_texts(n):
    train = drawn_texts(50)
    vocabulary = Vocabulary.fit(train, Splitter(16), min_rows=1, max_words=9)
    model = make_model(vocabulary, TfIdf.fit(vocabulary.ids(train), vocabulary.n_ids))
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= OPERATORS[""] | OPERATORS["ai.onnx.ml"]
    lengths = np.linalg.norm(run(model, train[:n]), axis=1)
    np.testing.assert_allclose(lengths, np.ones(n), rtol=0, atol=1e-6)


def test_training_texts_without_any_word():
    vocabulary = Vocabulary.fit(["", "."], Splitter(4), max_words=3)
    assert run(make_model(vocabulary, TfIdf.fit(vocabulary.ids(["", "."]), vocabulary.n_ids)), ["good"]).tolist() == [[0, 0, 0]]


def test_no_rows_are_refused():
    vocabulary = Vocabulary.fit([], Splitter(4), max_words=3)
    with pytest.raises(DataError, match="at least one text"):
        TfIdf.fit(vocabulary.ids([]), vocabulary.n_ids)
