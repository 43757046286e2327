"""What a network's output means: the same in numpy and in the graph, for any output, members and networks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.params import build_configs, parse_text
from onnxlearn.postprocess.config import OutputConfig, ThresholdMeasure
from onnxlearn.postprocess.heads import LARGEST_LOG, SMALLEST_STD, Head, LogHead, average, emit_average, softmax
from onnxlearn.postprocess.mixture import mixture
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.preprocess.target import TargetScaling
from onnxlearn.schema import Target
from onnxlearn.testing import run_reference
from tests.core.hand_tables import CLASSES, NUMBER, run_model

THREE = Target(names=("c",), type="classification", dtype="int64", classes=(10, 20, 30))
CODES = Target(names=("grade",), type="classification", dtype="int64", classes=(1, 2, 3))
COUNTS = Target(names=("visits",), type="regression", dtype="int64")
TWO_NUMBERS = Target(names=("a", "b"), type="regression", dtype="float64")
# The second target was constant in training.
SCALING = TargetScaling(np.array([1.7e9, 4.0]), np.array([2.0, 0.0]))
HEADS = {
    "classes": (THREE, OutputConfig(), None),
    "point": (TWO_NUMBERS, OutputConfig(), SCALING),
    "log": (TWO_NUMBERS, OutputConfig(), TargetScaling(np.zeros(2), np.array([2.0, 0.0]))),
    "quantile": (TWO_NUMBERS, OutputConfig(head="quantile", quantiles=(0.1, 0.25, 0.5, 0.9)), SCALING),
    "normal": (TWO_NUMBERS, OutputConfig(head="normal"), SCALING),
}
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def head_of(kind):
    target, config, scaling = HEADS[kind]
    # Of numbers the loss says whether the network gives their logarithms.
    head = LogHead(target) if kind == "log" else Head.of(target, config)
    return head, Postprocessing.plain(config), target, scaling


def graph_of(kind, *, n_members=None, n_networks=1, double=False, weights=None):
    head, post, target, scaling = head_of(kind)
    g = GraphBuilder()
    shape = ["N", head.width] if n_members is None else ["N", n_members, head.width]
    raws = [g.input(f"raw{i}", "DOUBLE" if double else "FLOAT", shape) for i in range(n_networks)]
    outputs = [head.emit(g, raw, scaling, double=double, n_members=n_members) for raw in raws]
    post.emit(g, emit_average(g, outputs, weights), target)
    return g.to_model()


def draw_raws(kind, n_rows, *, n_members=None, n_networks=1, double=False, seed=0):
    width = head_of(kind)[0].width
    shape = (n_rows, width) if n_members is None else (n_rows, n_members, width)
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 4, shape).astype(np.float64 if double else np.float32) for _ in range(n_networks)]


def in_numpy(kind, raws, weights=None):
    head, post, target, scaling = head_of(kind)
    outputs = post.apply(average([head.apply(raw, scaling) for raw in raws], weights), target)
    if "label" in outputs:
        outputs["label"] = np.array(target.classes)[outputs["label"]]
    return outputs


def assert_same(kind, raws, found, tolerance=1e-6, weights=None):
    expected = in_numpy(kind, raws, weights)
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert found[name].shape == values.shape
        assert found[name].dtype == values.dtype
        # In units of the target: the first one's mean is 1.7e9.
        scale = 1.0 if values.dtype == np.float32 else 2.0
        np.testing.assert_allclose(found[name] / scale, values / scale, rtol=1e-12 if scale > 1 else tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("n_members", [None, 1, 4])
@pytest.mark.parametrize("n_networks", [1, 3])
@pytest.mark.parametrize("double", [False, True])
def test_the_graph_gives_what_numpy_gives(kind, n_members, n_networks, double):
    options = {"n_members": n_members, "n_networks": n_networks, "double": double}
    model = graph_of(kind, **options)
    check(model)
    for n_rows in (0, 1, 37):
        raws = draw_raws(kind, n_rows, **options)
        assert_same(kind, raws, run_model(model, {f"raw{i}": raw for i, raw in enumerate(raws)}))


@pytest.mark.parametrize("kind", HEADS)
def test_networks_may_count_differently(kind):
    weights = np.array([0.5, 0.375, 0.125])
    model = graph_of(kind, n_networks=3, n_members=2, weights=weights)
    check(model)
    raws = draw_raws(kind, 7, n_networks=3, n_members=2)
    found = run_model(model, {f"raw{i}": raw for i, raw in enumerate(raws)})
    assert_same(kind, raws, found, weights=weights)
    # As if each were there as often as it counts.
    alike = in_numpy(kind, [raws[0]] * 4 + [raws[1]] * 3 + [raws[2]])
    for name, values in in_numpy(kind, raws, weights).items():
        if name != "label":
            np.testing.assert_allclose(values, alike[name], rtol=1e-12)


@pytest.mark.parametrize("kind", HEADS)
def test_another_implementation_of_onnx_agrees(kind):
    options = {"n_members": 3, "n_networks": 2}
    raws = draw_raws(kind, 5, **options)
    feeds = {f"raw{i}": raw for i, raw in enumerate(raws)}
    assert_same(kind, raws, run_reference(graph_of(kind, **options).SerializeToString(), feeds))


@pytest.mark.parametrize("kind", HEADS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_any_output_of_a_network_gives_finite_numbers(kind, data):
    head, *_ = head_of(kind)
    raw = data.draw(arrays(np.float32, (3, 2, head.width), elements=FLOAT32))
    found = run_model(graph_of(kind, n_members=2), {"raw0": raw})
    for name, values in in_numpy(kind, [raw]).items():
        assert np.isfinite(values).all()
        assert np.isfinite(found[name]).all()
        if name != "label":
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5)
    if kind == "quantile":
        assert (np.diff(found["quantiles"]) >= 0).all()
    if kind == "normal":
        assert (found["std"][:, 0] >= SMALLEST_STD).all()


def test_logarithms_are_averaged_as_predictions_and_cut_off():
    head, _, _, scaling = head_of("log")
    raw = np.log(np.array([[[1.0, 1.0], [3.0, 1.0]]]))
    np.testing.assert_allclose(head.apply(raw, scaling)["prediction"], [[4.0, 0.0]])
    assert head.apply(np.array([[1e30, -1e30]]), scaling)["prediction"].tolist() == [[2 * np.exp(LARGEST_LOG), 0.0]]


def test_probabilities_of_members_are_averaged_not_their_logits():
    head = Head.of(THREE, OutputConfig())
    raw = np.array([[[9.0, 0.0, 0.0], [0.0, 3.0, 0.0]]])
    expected = (softmax(raw[:, 0]) + softmax(raw[:, 1])) / 2
    np.testing.assert_allclose(head.apply(raw)["probabilities"], expected)


def test_quantiles_never_cross_and_the_median_is_the_prediction():
    head, _, _, scaling = head_of("quantile")
    raw = np.array([[3.0, -1.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0]])
    outputs = head.apply(raw, scaling)
    assert outputs["quantiles"][0, 0].tolist() == (1.7e9 + 2.0 * np.array([-1.0, 0.0, 2.0, 3.0])).tolist()
    # A target that was constant in training is predicted exactly.
    assert outputs["quantiles"][0, 1].tolist() == [4.0] * 4
    assert outputs["prediction"].tolist() == [[1.7e9 + 4.0, 4.0]]


def test_standard_deviations_are_in_the_unit_of_the_target():
    scaling = TargetScaling(np.array([10.0]), np.array([5.0]))
    head = Head.of(NUMBER, OutputConfig(head="normal"))
    outputs = head.apply(np.array([[2.0, 0.0], [0.0, -50.0]]), scaling)
    assert outputs["prediction"].tolist() == [[20.0], [10.0]]
    np.testing.assert_allclose(outputs["std"][:, 0], [5 * (np.log(2) + SMALLEST_STD), 5 * SMALLEST_STD])


def test_members_of_a_normal_head_are_a_mixture():
    scaling = TargetScaling(np.array([0.0]), np.array([1.0]))
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(1, 3, 2))
    outputs = Head.of(NUMBER, OutputConfig(head="normal")).apply(raw, scaling)
    mean, std = raw[0, :, 0], np.log1p(np.exp(raw[0, :, 1])) + SMALLEST_STD
    second_moment = (std**2 + mean**2).mean()
    np.testing.assert_allclose(outputs["std"], [[np.sqrt(second_moment - mean.mean() ** 2)]])
    draws = rng.normal(rng.choice(mean, 100_000), 0)
    assert abs(draws.mean() - outputs["prediction"].item()) < 0.02


def test_networks_are_averaged_as_members_are():
    for kind in HEADS:
        head, _, _, scaling = head_of(kind)
        raws = draw_raws(kind, 6, n_networks=3, double=True)
        together = head.apply(np.stack(raws, axis=1), scaling)
        apart = average([head.apply(raw, scaling) for raw in raws])
        for name in together:
            if name != "quantiles" and not (kind == "quantile" and name == "prediction"):
                np.testing.assert_allclose(apart[name], together[name], rtol=1e-7)


def test_the_mixture_of_huge_and_of_equal_numbers():
    mean, std = mixture(np.array([[1e300, -1e300]]), np.array([[1e300, 1e300]]), axis=1)
    np.testing.assert_allclose([mean, std], [[0.0], [np.sqrt(2) * 1e300]])
    assert mixture(np.zeros((2, 3)), np.zeros((2, 3)), axis=1)[1].tolist() == [0.0, 0.0]


def test_predictions_keep_within_bounds():
    scaling = TargetScaling(np.array([0.0]), np.array([1.0]), np.array([-1.0]), np.array([2.0]))
    raw = np.array([[-9.0, 0.0, 9.0]], np.float32)
    head = Head.of(NUMBER, OutputConfig(head="quantile"))
    g = GraphBuilder()
    Postprocessing(levels=head.quantiles).emit(g, head.emit(g, g.input("raw", "FLOAT", ["N", 3]), scaling), NUMBER)
    assert head.apply(raw, scaling)["quantiles"].tolist() == [[[-1.0, 0.0, 2.0]]]
    assert run_model(g.to_model(), {"raw": raw})["quantiles"].tolist() == [[[-1.0, 0.0, 2.0]]]


@pytest.mark.parametrize(("kind", "width"), [("classes", 3), ("point", 2), ("quantile", 8), ("normal", 4)])
def test_widths(kind, width):
    assert head_of(kind)[0].width == width


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        (CLASSES, {"head": "normal"}, "head='normal' is for numbers, the target 'kind' has classes: leave it out$"),
        (
            CODES,
            {"head": "normal"},
            r"has classes: leave it out, or make the task with type='regression' \(--task regression\)$",
        ),
        (THREE, {"threshold": 0.4}, r"threshold=0.4 is for two classes, the target 'c' has 3: leave it out, or predict one"),
        (THREE, {"threshold": "f1"}, "threshold='f1' is for two classes"),
        (NUMBER, {"threshold": 0.4}, "threshold=0.4 is for classes, the target 'price' has numbers: leave it out$"),
        (
            COUNTS,
            {"temperature": True},
            r"leave it out, or make the task with type='classification' \(--task classification\)$",
        ),
        (TWO_NUMBERS, {"temperature": True}, "temperature=True is for classes, the target 'a', 'b' has numbers: leave it out$"),
    ],
)
def test_settings_that_do_not_suit_the_target(target, settings, message):
    with pytest.raises(ParameterError, match=message):
        Head.of(target, OutputConfig(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "quantile", "quantiles": (0.1, 0.9)}, r"quantiles have to .* with 0.5, which is the prediction; not \(0.1"),
        ({"head": "quantile", "quantiles": (0.9, 0.5)}, "in ascending order, each once"),
        ({"head": "quantile", "quantiles": (0.5, 0.5)}, "in ascending order, each once"),
        ({"head": "quantile", "quantiles": (0.0, 0.5)}, "quantiles have to lie between 0 and 1"),
        ({"head": "quantile", "quantiles": ()}, r"not \(\): for example \(0.05, 0.5, 0.95\)"),
        (
            {"quantiles": (0.1, 0.5)},
            r"quantiles=\(0.1, 0.5\) changes nothing with head='point': leave it out",
        ),
        ({"coverage": 1.0}, r"coverage has to be float \| None > 0, < 1, not 1.0"),
        ({"threshold": 1.0}, r"threshold has to be .* > 0, < 1, not 1.0"),
        ({"calibration": 1.0}, r"calibration has to be float > 0, < 1, not 1.0"),
        (
            {"calibration": 0.3, "threshold": 0.4},
            r"calibration=0.3 changes nothing with coverage=None: .* with coverage given; or temperature=True; or",
        ),
        ({"calibration": 0.0}, r"calibration has to be float > 0, < 1, not 0.0"),
        ({"threshold": 0.0}, r"threshold has to be float | acc"),
        ({"threshold": "auc"}, r"threshold='auc' cannot be: it scores probabilities, which no threshold changes; .* \| f1 \|"),
        ({"threshold": "rmse"}, r"threshold='rmse' cannot be: it scores numbers, not labels; it has to be"),
        ({"threshold": True}, r"threshold has to be .* not True"),
    ],
)
def test_settings_that_mean_nothing(settings, message):
    with pytest.raises(ParameterError, match=message):
        build_configs([OutputConfig], settings, owner="learner 'mlp'")


def test_settings_from_the_command_line():
    texts = {"threshold": "f1", "coverage": "0.9", "quantiles": "0.1,0.5,0.9", "head": "quantile", "temperature": "false"}
    values = {name: parse_text([OutputConfig], name, text) for name, text in texts.items()}
    (config,) = build_configs([OutputConfig], values, owner="x")
    assert config == OutputConfig(threshold="f1", coverage=0.9, quantiles=(0.1, 0.5, 0.9), head="quantile")
    assert [parse_text([OutputConfig], "threshold", text) for text in ("0.3", "none", "mcc")] == [0.3, None, "mcc"]


def test_which_settings_need_calibration_rows():
    assert OutputConfig().calibrates == OutputConfig(threshold=0.3, head="normal").calibrates == ()
    assert not OutputConfig(threshold=0.3).needs_calibration
    needs = OutputConfig(temperature=True, threshold="f1", coverage=0.9)
    assert needs.calibrates == ("temperature", "threshold", "coverage")
    assert needs.needs_calibration


def test_every_measure_chooses_a_threshold_or_says_why_not():
    from typing import get_args

    from onnxlearn.measures import all_measures
    from onnxlearn.postprocess.config import NO_LABELS

    chosen = set(get_args(ThresholdMeasure))
    assert chosen <= {measure.name for measure in all_measures() if measure.needs == "labels"}
    assert chosen.isdisjoint(NO_LABELS)
    assert chosen | set(NO_LABELS) == {measure.name for measure in all_measures()}
    for name, why in (
        ("fpr", "best where one class alone is predicted"),
        ("crps", "it scores numbers"),
        ("file_size", "a run"),
    ):
        with pytest.raises(ParameterError, match=f"threshold='{name}' cannot be: .*{why}"):
            build_configs([OutputConfig], {"threshold": name}, owner="learner 'mlp'")


def test_every_kind_of_head_is_tested():
    from onnxlearn.postprocess import heads

    found = {type(head_of(kind)[0]) for kind in HEADS}
    assert found == {cls for cls in vars(heads).values() if isinstance(cls, type) and issubclass(cls, Head) and cls is not Head}
