"""Predictions: types, frames, scores."""

import numpy as np
import pytest
import sklearn.metrics as sk
from small_models import BOOLEAN, CODES, PRICE, SPECIES, TWO_PRICES

from onnxlearn.errors import DataError
from onnxlearn.prediction import Prediction, one_row


def classified(target, codes, truth=None, **more):
    prob = np.full((len(codes), len(target.classes)), 0.1, np.float32)
    prob[np.arange(len(codes)), codes] = 0.9
    values = [int(target.classes[code]) if target.dtype == "bool" else target.classes[code] for code in codes]
    label = np.array(values, dtype=object if target.dtype == "str" else np.int64)
    return Prediction.from_outputs(target, {"label": label, "probabilities": prob}, truth=truth, **more)


@pytest.mark.parametrize(("target", "dtype"), [(SPECIES, object), (CODES, np.int64), (BOOLEAN, np.bool_)])
def test_response_and_truth_have_the_training_type(target, dtype):
    prediction = classified(target, [0, 1, 1], truth=np.array([0, 1, 0]))
    assert prediction.response.dtype == prediction.truth.dtype == dtype
    assert prediction.response.tolist() == [target.classes[code] for code in (0, 1, 1)]
    assert prediction.truth.tolist() == [target.classes[code] for code in (0, 1, 0)]
    assert prediction.score("acc") == np.mean(prediction.truth == prediction.response)
    assert len(prediction) == 3
    assert prediction.classes == target.classes


def test_frames():
    frame = classified(SPECIES, [2, 0], row_ids=np.array(["r1", "r2"])).to_frame()
    assert frame.columns.tolist() == ["label", "prob_a", "prob_b", "prob_ç"]
    assert frame.index.tolist() == ["r1", "r2"]
    assert frame["label"].tolist() == ["ç", "a"]
    assert frame["prob_ç"].dtype == np.float32
    one = Prediction.from_outputs(PRICE, {"prediction": np.array([[1.5], [2.5]])})
    assert one.to_frame().to_dict("list") == {"prediction": [1.5, 2.5]}
    assert one.response.shape == (2,)
    two = Prediction.from_outputs(TWO_PRICES, {"prediction": np.array([[1.0, 2.0]])})
    assert two.to_frame().to_dict("list") == {"prediction_low": [1.0], "prediction_high": [2.0]}


def test_scores_of_regression():
    truth, response = np.array([[1.0, 10.0], [2.0, 30.0]]), np.array([[1.5, 11.0], [2.5, 28.0]])
    weights = np.array([1.0, 3.0])
    prediction = Prediction.from_outputs(TWO_PRICES, {"prediction": response}, truth=truth, weights=weights)
    assert prediction.score() == pytest.approx(
        {
            "rmse": sk.root_mean_squared_error(truth, response, sample_weight=weights),
            "mae": sk.mean_absolute_error(truth, response, sample_weight=weights),
            "r2": sk.r2_score(truth, response, sample_weight=weights),
        }
    )
    single = Prediction.from_outputs(PRICE, {"prediction": response[:, :1]}, truth=truth[:, :1])
    assert single.truth.tolist() == [1.0, 2.0]
    assert single.score("mae") == 0.5
    assert single.scores(["mae"]) == {"mae": 0.5}


def test_without_truth_scoring_says_why():
    prediction = classified(SPECIES, [0], no_truth="the table has no column 'species'")
    assert repr(prediction) == "<Prediction of species: 1 rows, no truth>"
    with pytest.raises(DataError, match="this cannot be scored: the table has no column 'species'"):
        prediction.score("acc")


def test_one_row():
    label, prob = np.array(["b"], dtype=object), np.array([[0.25, 0.5, 0.25]], np.float32)
    assert one_row(SPECIES, {"label": label, "probabilities": prob}) == {
        "label": "b",
        "probabilities": {"a": 0.25, "b": 0.5, "ç": 0.25},
    }
    won = one_row(BOOLEAN, {"label": np.array([1]), "probabilities": np.array([[0.25, 0.75]], np.float32)})
    assert won == {"label": True, "probabilities": {False: 0.25, True: 0.75}}
    assert type(won["label"]) is bool
    assert one_row(PRICE, {"prediction": np.array([[3.5]])}) == {"prediction": 3.5}
    assert one_row(TWO_PRICES, {"prediction": np.array([[3.5, 4.5]])}) == {"prediction": {"low": 3.5, "high": 4.5}}
