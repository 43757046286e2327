"""The public checks pass what is right and name what is wrong."""

import numpy as np
import pytest

from onnxlearn import testing
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.testing import assert_parity, run_reference
from tests.core.hand_tables import CLASSES, NUMBER, emit_outputs

SCALE = 100.0


def classifier():
    g = GraphBuilder()
    emit_outputs(g, g.input("x", "FLOAT", ["N", 2]), CLASSES)
    return g.to_model().SerializeToString()


def regressor():
    g = GraphBuilder()
    emit_outputs(g, g.input("x", "FLOAT", ["N", 1]), NUMBER, TargetScaling(np.array([5.0]), np.array([SCALE])))
    return g.to_model().SerializeToString()


@pytest.fixture
def logits():
    return {"x": np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)}


@pytest.fixture
def probabilities(logits):
    powers = np.exp(logits["x"].astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def labels_of(probabilities):
    return np.array(CLASSES.classes, object)[probabilities.argmax(axis=1)]


def test_a_classifier_has_parity(logits, probabilities):
    assert_parity(classifier(), logits, {"probabilities": probabilities, "label": labels_of(probabilities)})


def test_a_difference_in_probabilities_is_found(logits, probabilities):
    probabilities[59, 0] += 1e-4
    with pytest.raises(AssertionError, match=r"probabilities differs by (0\.0001|9\.99)"):
        assert_parity(classifier(), logits, {"probabilities": probabilities})


def test_a_wrong_label_is_found(logits, probabilities):
    with pytest.raises(AssertionError, match="labels differ for 1 rows"):
        assert_parity(classifier(), logits, {"probabilities": probabilities, "label": labels_of(-probabilities)})


def test_labels_of_a_tie_may_differ():
    feeds = {"x": np.zeros((3, 2), np.float32)}
    expected = {"probabilities": np.full((3, 2), 0.5), "label": np.array(["yes"] * 3, object)}
    assert_parity(classifier(), feeds, expected)


def test_predictions_are_compared_in_deviations_of_the_target():
    feeds = {"x": np.zeros((3, 1), np.float32)}
    assert_parity(regressor(), feeds, {"prediction": np.full((3, 1), 5.0005)}, scale=SCALE)
    with pytest.raises(AssertionError, match="prediction differs by 2e-05 for 1 rows"):
        assert_parity(regressor(), feeds, {"prediction": np.full((3, 1), 5.002)}, scale=SCALE)


def test_a_mean_far_from_zero_hides_no_difference():
    g = GraphBuilder()
    center, scale = np.array([1.7e9]), np.array([1.0])
    emit_outputs(g, g.input("x", "FLOAT", ["N", 1]), NUMBER, TargetScaling(center, scale))
    model, feeds = g.to_model().SerializeToString(), {"x": np.zeros((3, 1), np.float32)}
    assert_parity(model, feeds, {"prediction": np.full((3, 1), 1.7e9 + 5e-6)}, scale=scale, center=center)
    with pytest.raises(AssertionError, match=r"prediction differs by 0\.00(1|0999\d*) for 1 rows"):
        assert_parity(model, feeds, {"prediction": np.full((3, 1), 1.7e9 + 1e-3)}, scale=scale, center=center)


def test_nan_is_no_parity():
    with pytest.raises(AssertionError, match="prediction differs by nan"):
        assert_parity(regressor(), {"x": np.full((3, 1), np.nan, np.float32)}, {"prediction": np.zeros((3, 1))})


def test_a_wrong_shape_is_found():
    with pytest.raises(AssertionError, match=r"prediction has shape \(0, 1\) for 0 rows"):
        assert_parity(regressor(), {"x": np.zeros((3, 1), np.float32)}, {"prediction": np.zeros((3, 2))})


def test_the_reference_is_another_implementation(logits, probabilities):
    outputs = run_reference(classifier(), logits)
    np.testing.assert_allclose(outputs["probabilities"], probabilities, rtol=1e-5)
    assert outputs["label"].tolist() == labels_of(probabilities).tolist()


def test_the_public_names():
    assert testing.__all__ == sorted(testing.__all__)
    assert {"assert_parity", "check_learner", "check_step"} <= set(testing.__all__)
