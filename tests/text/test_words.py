"""Texts cut into words: the graph and Python give the same ids for every text."""

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.operators import OPERATORS
from onnxlearn.runtime import open_session
from onnxlearn.text.vocabulary import Vocabulary
from onnxlearn.text.words import CUTS, Splitter

TRAINED = [
    "Good phone",
    "not GOOD, iPhone",
    "a phone!",
    "Straße STRASSE İstanbul",
    "😀 naïve a\0b",
    "it's «fine» \u3000 x\u2028y",
    "ﬁne \x0b",
]
LENGTH = 7


def make_model(vocabulary):
    g = GraphBuilder()
    texts = g.input("text", "STRING", ["N", 1])
    with g.scope("prep"):
        ids = vocabulary.emit(g, texts)
    g.output(ids, "ids", "INT64", ["N", vocabulary.splitter.length])
    return g.to_model()


def column(texts):
    return np.array(texts, object).reshape(-1, 1)


VOCABULARY = Vocabulary.fit(TRAINED, Splitter(LENGTH), min_rows=1, max_words=20)
MODEL = make_model(VOCABULARY)
SESSION = open_session(MODEL.SerializeToString())

pieces = st.sampled_from(
    [word for text in TRAINED for word in text.split(" ")]
    + [*CUTS, " ", "   ", "...", "a." * 20, " " * 50, "\0", "\x85", "b\n\tc", "GOOD!!", '"']
)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
drawn = st.lists(st.one_of(st.lists(st.one_of(pieces, anything), max_size=12).map("".join), anything), max_size=5)


@settings(max_examples=300)
@given(drawn)
@example([])
@example([""])
@example(["", " ", ".", " . "])
@example(["a " * 20_000, ". " * 20_000, "a.b,c;d!" * 5_000, "good"])
@example(["\0", "a\0", "\0a b\0", "good\0"])
def test_the_graph_gives_the_ids_of_python(texts):
    ids = SESSION.run(None, {"text": column(texts)})[0]
    assert ids.dtype == np.int64
    assert ids.shape == (len(texts), LENGTH)
    assert ids.tolist() == VOCABULARY.ids(texts).tolist()


@given(drawn)
def test_a_text_has_the_same_ids_whatever_stands_beside_it(texts):
    together = SESSION.run(None, {"text": column(texts)})[0]
    for text, ids in zip(texts, together, strict=True):
        assert SESSION.run(None, {"text": column([text])})[0][0].tolist() == ids.tolist()


def test_many_texts_at_once():
    texts = TRAINED * 500
    assert (SESSION.run(None, {"text": column(texts)})[0] == VOCABULARY.ids(texts)).all()


def test_the_model_is_valid_and_of_operators_that_a_file_may_use():
    onnx.checker.check_model(MODEL, full_check=True)
    assert {node.op_type for node in MODEL.graph.node} <= OPERATORS[""] | OPERATORS["ai.onnx.ml"]
    assert {opset.domain: opset.version for opset in MODEL.opset_import} == {"": 20, "ai.onnx.ml": 2}


def test_onnx_reference_agrees():
    texts = ["Good phone, not good.", "it's", "a  b\n\nphone!"]
    assert ReferenceEvaluator(MODEL).run(None, {"text": column(texts)})[0].tolist() == VOCABULARY.ids(texts).tolist()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" . ,\n", []),
        ('He said: "Good!"', ["He", "said", "Good"]),
        ("don't #maga @you a-b", ["don't", "#maga", "@you", "a-b"]),
        ("one two  three, four five", ["one", "two", "three", "four"]),
        ("tab\tnew\r\nline", ["tab", "new", "line"]),
    ],
)
def test_words_of_a_text(text, words):
    assert Splitter(length=4).words(text) == words


@pytest.mark.parametrize(("n_cuts", "n_spaces", "words"), [(3, 0, ["a", "b"]), (4, 0, ["a"]), (1, 99, ["a", "b"])])
def test_as_many_cuts_in_a_row_as_words_end_a_text(n_cuts, n_spaces, words):
    assert Splitter(length=4).words("a" + "." * n_cuts + " " * n_spaces + "b") == words


def test_other_cuts_and_none():
    assert Splitter(8, "-|").words("a-b|c, d") == ["a", "b", "c,", "d"]
    assert Splitter(8, "").words("a-b|c,\nd e") == ["a-b|c,\nd", "e"]
    plain = Vocabulary.fit(TRAINED, Splitter(3, ""), min_rows=1, max_words=9)
    assert (
        open_session(make_model(plain).SerializeToString()).run(None, {"text": column(TRAINED)})[0].tolist()
        == plain.ids(TRAINED).tolist()
    )


@pytest.mark.parametrize(("length", "cuts"), [(0, "."), (3, ". "), (3, "\0"), (3, "..")])
def test_wrong_settings_are_refused(length, cuts):
    with pytest.raises(ParameterError, match=r"length|cuts"):
        Splitter(length, cuts)
