"""Fitting a vocabulary: which words, which spellings, tables of a fixed size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxlearn.errors import ParameterError
from onnxlearn.text.vocabulary import Vocabulary
from onnxlearn.text.words import Splitter

SPLITTER = Splitter(8)


def fit(texts, **settings):
    return Vocabulary.fit(texts, SPLITTER, **{"min_rows": 1, "max_words": 10} | settings)


def test_cases_of_a_word_are_one_word():
    vocabulary = fit(["iPhone", "PHONE phone"])
    one, other = vocabulary.ids(["iPhone IPHONE iphone Iphone"]), vocabulary.ids(["Phone phone PHONE"])
    assert one[0, :4].tolist() == [2] * 4
    assert other[0, :3].tolist() == [3] * 3


def test_a_spelling_that_nobody_expects_is_unknown():
    assert fit(["phone"]).ids(["pHoNe"])[0, 0] == 1


def test_words_in_too_few_texts_are_left_out():
    assert fit(["good good", "bad", "Bad"], min_rows=2).words == ("bad",)


def test_the_words_of_most_texts_are_kept_and_equal_ones_by_name():
    assert fit(["c b", "b a", "a", "d"], max_words=3).words == ("a", "b", "c")


@pytest.mark.parametrize("texts", [[], [""], ["one two three"], ["a b c d e f g", "h i j k l m"]])
def test_the_number_of_ids_follows_from_the_parameter_alone(texts):
    vocabulary = fit(texts, max_words=5)
    assert vocabulary.n_ids == 7
    assert vocabulary.ids(["a b one zzz"]).max() < 7


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_every_spelling_is_of_the_word_in_lower_case(texts):
    vocabulary = fit(texts, max_words=4)
    assert len(vocabulary.words) <= 4
    for spelling, i in vocabulary.spellings.items():
        assert vocabulary.words[i - 2] == spelling.lower()
    assert set(vocabulary.words) <= {word.lower() for text in texts for word in SPLITTER.words(text)}


def test_the_order_of_rows_does_not_count():
    texts = ["Good phone", "bad PHONE", "iPhone"]
    one, other = fit(texts), fit(texts[::-1])
    assert one.words == other.words
    assert list(one.spellings.items()) == list(other.spellings.items())


@pytest.mark.parametrize("wrong", [{"min_rows": 0}, {"max_words": 0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        fit(["a"], **wrong)
