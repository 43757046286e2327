"""Steps of preprocessing in a graph: what each column becomes, from the graph of layers to the file."""

import json
import pickle
import re

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn import ingress, nn, prep
from onnxlearn.errors import DataError, ParameterError
from onnxlearn.networks.data import graph_from_dict, graph_to_dict
from onnxlearn.networks.draw import mermaid, svg, told
from onnxlearn.networks.graph import Graph
from onnxlearn.networks.layers.prep import Prep
from onnxlearn.networks.nn import LAYERS
from onnxlearn.params import REQUIRED
from onnxlearn.preprocess.config import ColumnsConfig
from onnxlearn.preprocess.grouped import GroupedPreprocessing, fit_preprocessing
from onnxlearn.schema import Schema

QUICK = {"max_epochs": 2, "device": "cpu", "seed": 0}
SMALL = nn.linear(4) >> nn.head()


@pytest.fixture(scope="module")
def task():
    return ol.example_task("penguins")


def bills():
    return prep.select("bill_*") >> prep.impute("mean") >> prep.scale("quantile") >> ingress.num()


def net():
    rest = prep.select(exclude="bill_*") >> prep.scale("standard", smooth_clip=False, id="rest")
    parts = [bills() >> nn.linear(8), rest >> ingress.num() >> nn.linear(8), rest >> ingress.cat() >> nn.embedding(4)]
    return parts >> nn.merge_cat() >> nn.head()


def only(chain):
    """A network of these columns and all others."""
    return [chain, ingress.num(), ingress.cat() >> nn.embedding(2)] >> nn.merge_cat() >> SMALL


def steps_of(learner, task):
    """The fitted preprocessing of a learner."""
    config = learner.choose_preprocessing(learner.configs[1], task.schema, task.n_rows)
    return fit_preprocessing(task.schema, config, task.feeds(), task.truth(), task.weights())


def columns_of(steps, tensors, tensor):
    """The columns of a tensor by name."""
    group = next(each for each in steps.ingress.every if tensor == f"{each.prefix}num")
    return dict(zip(group.num_names, tensors[tensor].T, strict=True))


def test_columns_are_prepared_as_the_settings_of_a_learner_would_prepare_them(task):
    steps = steps_of(ol.learner(net()), task)
    tensors = steps.transform(task.feeds())
    assert {name: tensor.shape[1:] for name, tensor in tensors.items()} == steps.ingress.shapes
    for tensor, names, settings in [
        ("scale/num", {"bill_length_mm", "bill_depth_mm"}, {"num_impute": "mean", "num_scaler": "quantile"}),
        ("rest/num", {"flipper_length_mm", "body_mass_g", "year"}, {"num_scaler": "standard", "smooth_clip": False}),
    ]:
        alone = steps_of(ol.learner("mlp", cat_encoding="embedding", **settings), task)
        wanted = columns_of(alone, alone.transform(task.feeds()), "num")
        got = columns_of(steps, tensors, tensor)
        assert {name.partition(":")[0] for name in got} == names
        for name, column in got.items():
            np.testing.assert_array_equal(column, wanted[name], name)
    np.testing.assert_array_equal(tensors["rest/cat"], alone.transform(task.feeds())["cat"])


def test_what_no_step_says_is_as_the_learner_says(task):
    graph = only(prep.select("bill_*") >> prep.impute("mean") >> ingress.num())
    steps = steps_of(ol.learner(graph, num_scaler="minmax"), task)
    alone = steps_of(ol.learner("mlp", num_impute="mean", num_scaler="minmax"), task)
    wanted = columns_of(alone, alone.transform(task.feeds()), "num")
    for name, column in columns_of(steps, steps.transform(task.feeds()), "impute/num").items():
        np.testing.assert_array_equal(column, wanted[name])
    # An ingress without a step takes all columns as the learner says.
    codes = steps_of(ol.learner("mlp", cat_encoding="embedding", num_scaler="minmax"), task)
    np.testing.assert_array_equal(steps.transform(task.feeds())["num"], codes.transform(task.feeds())["num"])


def test_the_file_takes_raw_columns_and_computes_what_training_saw(task, tmp_path):
    model = ol.learner(net(), **QUICK).fit(task, progress=False)
    assert model.verify().ok
    model.save(tmp_path / "m.onnx")
    session = ort.InferenceSession(tmp_path / "m.onnx")
    feeds = task.feeds()
    names = [output.name for output in session.get_outputs()]
    whole = session.run(names, feeds)[names.index("probabilities")]
    assert whole.std(axis=0).min() > 0.01
    for rows in (0, 3, 272):
        one = session.run(names, {name: feed[rows : rows + 1] for name, feed in feeds.items()})
        np.testing.assert_allclose(one[names.index("probabilities")][0], whole[rows], atol=1e-6)
    empty = dict.fromkeys(task.schema.feature_names)
    assert set(ol.load(tmp_path / "m.onnx").predict_one(empty)) == {"label", "probabilities"}


def test_a_graph_with_steps_is_data_and_its_settings_are_parameters(task):
    graph = net()
    data = json.loads(json.dumps(graph_to_dict(graph)))
    assert graph_to_dict(graph_from_dict(data)) == data
    learner = ol.learner(
        "graph", graph=data, scale__method="robust", rest__clip=7.5, select__columns=["bill_length_mm"], **QUICK
    )
    assert learner.graph.settings["select__columns"] == ("bill_length_mm",)
    param = next(param for param in learner.params if param.name == "scale__n_quantiles")
    assert (param.default, param.range, param.when) == (1000, ">= 2, <= 10000", [{"scale__method": "quantile"}])
    copied = pickle.loads(pickle.dumps(learner))
    assert copied == learner != learner.replace(rest__clip=8.0)
    with pytest.raises(DataError, match=r"the graph takes column 'bill_depth_mm' nowhere: add ingress.num\(\)"):
        learner.fit(task)
    learner = learner.replace(select__columns=("bill_*",))
    model = learner.fit(task, progress=False)
    assert model.to_bytes() == ol.learner(learner.graph, **QUICK).fit(task, progress=False).to_bytes()
    assert Schema.from_dict(json.loads(json.dumps(model.schema.to_dict()))) == model.schema


def test_graphs_print_and_draw_with_their_steps(task):
    lines = told(net(), task.schema).splitlines()
    assert [line.split()[-3:] for line in lines[1:4]] == [
        ["columns", "<", "select"],
        ["columns", "<", "impute"],
        ["4]", "<", "scale"],
    ]
    assert lines[0].endswith("bill_length_mm, bill_depth_mm")
    assert "    n_select --> n_impute\n" in mermaid(net())
    assert svg(net(), task.schema).count("<rect") == len(net().nodes) == svg(net()).count("<rect")
    assert re.fullmatch(r"scale +scale\(method='quantile'\) +< impute", str(net()).splitlines()[2])


def test_training_rows_are_encoded_by_the_target_of_other_folds(task):
    graph = (
        [
            prep.select(kinds="categorical") >> prep.encode("target", folds=3) >> ingress.num(),
            prep.select(kinds="numeric") >> prep.encode("target") >> ingress.num(),
        ]
        >> nn.merge_cat()
        >> SMALL
    )
    steps = steps_of(ol.learner(graph), task)
    assert set(steps.folds) == {"prep/encode/fold"}
    alone = steps_of(ol.learner("mlp", cat_encoding="target", cat_folds=3), task)
    for rows in ("transform", "transform_training"):
        got = columns_of(steps, getattr(steps, rows)(task.feeds()), "encode/num")
        wanted = columns_of(alone, getattr(alone, rows)(task.feeds()), "num")
        assert set(got) == {name for name in wanted if name.startswith(("island", "sex"))}
        for name, column in got.items():
            np.testing.assert_array_equal(column, wanted[name])
    assert ol.learner(graph, **QUICK).fit(task, progress=False).verify().ok


def test_every_step_reaches_its_columns_and_no_others(task):
    chains = {
        "mutate": prep.mutate({"area": "bill_length_mm * bill_depth_mm"}),
        "bins": prep.bins(3, encoding="ordinal"),
        "splines": prep.splines(4),
        "polynomial": prep.polynomial(2, interactions_only=True),
        "pca": prep.pca(1, whiten=True),
        "select_best": prep.select_best(2),
    }
    names = {}
    for kind, step in chains.items():
        steps = steps_of(ol.learner(only(prep.select("bill_*") >> step >> ingress.num())), task)
        names[kind] = set(columns_of(steps, steps.transform(task.feeds()), f"{kind}/num"))
        assert not any("bill" in name and ":" in name and "missing" not in name for name in steps.ingress.num_names)
    both = {"bill_length_mm", "bill_depth_mm"}
    flags = {"bill_length_mm:missing", "bill_depth_mm:missing"}
    assert names["mutate"] == both | flags | {"area", "area:missing"}
    assert names["bins"] == both | flags | {"bill_length_mm:bin", "bill_depth_mm:bin"}
    assert names["splines"] - both - flags == {f"{name}:spline{i}" for name in both for i in (1, 2, 3, 4)}
    assert names["polynomial"] - both - flags == {"bill_length_mm*bill_depth_mm"}
    assert names["pca"] == {"pca1"} | flags
    assert names["select_best"] == both | flags


def test_dates_are_read_as_a_step_says():
    frame = pd.DataFrame({
        "day": pd.date_range("2024-01-01", periods=40, freq="D"), "x": np.arange(40.0), "y": np.arange(40.0) % 7,
    })  # fmt: skip
    task = ol.Task.from_frame(frame, target="y")
    graph = [prep.select("day") >> prep.dates(["weekday"]) >> ingress.num(), prep.select("x") >> ingress.num()]
    steps = steps_of(ol.learner(graph >> nn.merge_cat() >> nn.head()), task)
    assert steps.ingress.group("dates").num_names == ("day.weekday",)


def test_selections_narrow_each_other(task):
    graph = only(
        prep.select("bill_*", "sex", kinds="numeric") >> prep.impute() >> prep.select(exclude="*depth*") >> ingress.num()
    )
    steps = steps_of(ol.learner(graph), task)
    assert set(steps.ingress.group("select_2").num_sources) == {"bill_length_mm"}


def test_branches_of_steps_are_a_choice(task):
    options = {"ranks": prep.scale("quantile"), "axes": prep.scale("standard") >> prep.pca(2), "same": prep.select()}
    chosen = prep.select(kinds="numeric") >> nn.choice(options, choose="ranks") >> ingress.num()
    graph = [chosen, prep.encode("onehot") >> prep.select(kinds="categorical") >> ingress.num()] >> nn.merge_cat() >> SMALL
    learner = ol.learner(graph, **QUICK)
    widths = {name: learner.replace(choice__choose=name).shapes(task)["num"].shape[1] for name in options}
    assert widths == {"ranks": 9, "axes": 6, "same": 9}
    assert learner.replace(choice__choose="axes", choice__axes__pca__n=3).fit(task, progress=False).verify().ok
    with pytest.raises(ParameterError, match="choice: all of its options have to take columns, or all a tensor"):
        nn.choice({"a": prep.scale(), "b": nn.relu()}, choose="a")


def test_the_file_holds_nothing_that_is_not_read(task):
    graph = [prep.scale("quantile", id="codes") >> ingress.cat() >> nn.embedding(2), ingress.num()] >> nn.merge_cat() >> SMALL
    model = onnx.load_from_string(ol.learner(graph, **QUICK).fit(task, progress=False).to_bytes())
    of_codes = [node.op_type for node in model.graph.node if node.name.startswith("prep/codes")]
    assert of_codes
    assert not {"GatherElements", "Erf"} & set(of_codes)
    read = {name for node in model.graph.node for name in node.input} | {output.name for output in model.graph.output}
    assert all(read & set(node.output) for node in model.graph.node)


def test_a_graph_without_steps_says_nothing_of_groups(task):
    model = ol.learner(ingress.num() >> nn.head(), **QUICK).fit(task, progress=False)
    assert not {"groups", "name"} & model.schema.to_dict()["ingress"].keys()


def test_an_optional_ingress_drops_out_with_its_steps(task):
    parts = [prep.select(kinds="datetime") >> prep.dates(["year"]) >> ingress.num(optional=True), bills()]
    rest = [prep.select(exclude="bill_*") >> prep.encode("onehot") >> ingress.num()]
    learner = ol.learner([*parts, *rest] >> nn.merge_cat() >> SMALL, **QUICK)
    assert "num" not in learner.shapes(task)
    model = learner.fit(task, progress=False)
    assert [group.name for group in model.schema.ingress.groups if group.shapes] == ["scale", "encode"]
    with pytest.raises(ParameterError, match=r"node 'num': 'select' gives no columns for ingress.num\(\): leave it out"):
        ol.learner(only(prep.select(kinds="datetime") >> ingress.num())).shapes(task)


def pictures(n=40):
    rng = np.random.default_rng(0)
    sizes = [(20, 24), (9, 30)]
    labels = np.arange(n) % 2
    images = [rng.integers(0, 100, (*sizes[i % 3 % 2], 3), np.uint8) + np.uint8(120 * labels[i]) for i in range(n)]
    images[5] = None
    age = np.where(labels == 1, 3.0, 1.0) + rng.normal(0, 0.1, n)
    frame = pd.DataFrame(
        {"photo": images, "age": age, "note": ["so good", "Bad day"] * (n // 2), "y": np.where(labels, "b", "a")}
    )
    return ol.Task.from_frame(frame, target="y", kinds={"photo": "image", "note": "text"})


def test_images_and_texts_have_steps_too():
    task = pictures()
    photo = prep.select("photo")
    parts = [
        photo >> prep.images(8, 8, mean=[0.2], std=[0.3]) >> ingress.image() >> nn.flatten(),
        photo
        >> prep.images(12, 16, fit="pad", grey=True, id="grey")
        >> ingress.image("photo")
        >> nn.conv2d(2, 3)
        >> nn.flatten(),
        prep.texts(length=3, min_rows=1) >> ingress.text() >> nn.embedding_bag(3),
        prep.texts(form="tfidf", max_words=9, min_rows=1) >> ingress.text("note"),
        prep.select("age", "photo") >> ingress.num(),
    ]
    learner = ol.learner(parts >> nn.merge_cat() >> SMALL, **QUICK)
    steps = steps_of(learner, task)
    assert isinstance(steps, GroupedPreprocessing)
    assert steps.ingress.shapes == {
        "images/image_photo": (3, 8, 8), "grey/image_photo": (1, 12, 16), "texts/text_note": (3,), "texts_2/text_note": (9,),
        "select_2/num": (2,),
    }  # fmt: skip
    model = learner.fit(task, progress=False)
    np.testing.assert_array_equal(model.predict(task).prob, model.predict(task.frame).prob)
    rows = [3, 0, 5]
    np.testing.assert_allclose(model.predict(task.frame.iloc[rows]).prob, model.predict(task).prob[rows], atol=1e-6)
    read_anew = learner.replace(image_memory=0.0).fit(task, progress=False)
    np.testing.assert_allclose(read_anew.predict(task).prob, model.predict(task).prob, atol=1e-5)
    fast = learner.replace(lr=0.01)
    plain, changed = (each.fit(task, progress=False) for each in (fast, fast.replace(augment_flip=0.5, augment_brightness=0.3)))
    assert np.abs(changed.predict(task).prob - plain.predict(task).prob).max() > 1e-4


def test_images_enter_as_they_are_in_one_size():
    photo = prep.select("photo")
    parts = [photo >> prep.images(8, 8, fit="none") >> ingress.image() >> nn.flatten()]
    parts += [photo >> prep.images(9, 9, fit="none") >> ingress.image() >> nn.flatten()]
    parts += [prep.select("age", "photo") >> ingress.num(), ingress.text() >> nn.embedding_bag(2)]
    with pytest.raises(ParameterError, match=r"images of 'photo' enter as they are, in the sizes .*: they have one"):
        ol.learner(parts >> nn.merge_cat() >> SMALL).shapes(pictures())


def test_ensembles_and_resampling_take_steps(task):
    learner = ol.learner(net(), **QUICK)
    scores = ol.resample(task, learner, ol.CV(3)).scores
    assert len(scores) == 3
    assert scores["acc"].notna().all()
    model = ol.learner("ensemble", members=[learner, ol.learner("mlp", **QUICK)]).fit(task, progress=False)
    assert model.verify().ok


REFUSED = {
    r"node 'select': no column that comes in fits 'bill_lenght_mm'. Did you mean 'bill_length_mm'\?":
        lambda: only(prep.select("bill_lenght_mm") >> ingress.num()),
    r"node 'select': no column that comes in fits 'x\*'. There are 'island'":
        lambda: only(prep.select(exclude="x*") >> ingress.num()),
    r"node 'select': column 'sex' is selected and does not enter: put ingress.cat\(\), or prep.encode\(\"onehot\"\) and":
        lambda: only(prep.select("bill_*", "sex") >> ingress.num()),
    "node 'impute' comes after 'scale', and is done before it: put it before 'scale'":
        lambda: only(prep.scale() >> prep.impute() >> ingress.num()),
    "node 'again' comes after 'impute', another impute: leave one of them out":
        lambda: only(prep.impute() >> prep.impute("mean", id="again") >> ingress.num()),
    "node 'encode' comes after 'scale', and is done before it":
        lambda: only(prep.scale() >> prep.encode("target") >> ingress.num()),
    "node 'select' comes after 'pca', and is done before it":
        lambda: only(prep.pca(2) >> prep.select("year") >> ingress.num()),
    "node 'linear' needs a tensor, and 'select' gives columns: put an ingress between them":
        lambda: prep.select() >> nn.linear(3) >> nn.head(),
    "the graph ends in columns: put an ingress behind them": lambda: prep.select() >> prep.scale(),
    "only steps of preprocessing can stand before a graph that begins with select, not linear":
        lambda: ingress.num() >> nn.linear(3) >> prep.select() >> ingress.num(),
    "node 'pca': pca__n=9 is more than the 2 scaled columns":
        lambda: only(prep.select("bill_*") >> prep.pca(9) >> ingress.num()),
    "scale: clip=3.0 changes nothing with method='quantile': leave it out": lambda: prep.scale("quantile", clip=3),
    "scale: method has to be standard | robust": lambda: prep.scale("quantil"),
    "bins needs n: bins between quantiles": lambda: prep.bins(),
    "mutate: formula 'x' cannot be read: 'a \\+'": lambda: prep.mutate({"x": "a +"}),
    "select: kinds has to be list of numeric | categorical": lambda: prep.select(kinds="number"),
    "images: image_std holds numbers above 0": lambda: prep.images(std=[0.0]),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_is_refused_by_the_name_of_the_step(message, task):
    with pytest.raises(ParameterError, match=message.replace("|", r"\|")):
        ol.learner(REFUSED[message](), max_epochs=10**6, device="cpu").fit(task)


def test_what_steps_say_for_all_columns_is_no_setting_of_the_learner(task):
    net = prep.encode("onehot") >> prep.scale("quantile") >> ingress.num() >> nn.head()
    quick = {"max_epochs": 1, "device": "cpu"}
    with pytest.raises(ParameterError, match=r"num_scaler='minmax' changes nothing, .*: set scale__method"):
        ol.learner(net, num_scaler="minmax", **quick).fit(task)
    with pytest.raises(ParameterError, match=r"cat_encoding='target' changes nothing, .*: set encode__method"):
        ol.learner(net, cat_encoding="target", **quick).fit(task)
    # The default changes nothing either, and a group without a step hears the setting.
    ol.learner(net, num_scaler=ol.learner(net).values["num_scaler"], **quick).shapes(task)
    some = [prep.select("bill_*") >> prep.scale("robust") >> ingress.num(), prep.select(exclude="bill_*") >> ingress.num()]
    ol.learner(some >> nn.merge_cat() >> nn.head(), num_scaler="minmax", **quick).shapes(task)


def test_steps_are_found_by_their_names():
    with pytest.raises(AttributeError, match=r"there is no step 'scaling'\. Did you mean 'scale'"):
        _ = prep.scaling
    with pytest.raises(ParameterError, match=r"scale\(\) has no parameter 'methd'.* Did you mean 'method'"):
        prep.scale(methd="robust")
    assert prep.select(["a", "b"], "c").settings == prep.select("a", "b", "c").settings


def test_formulas_of_the_caller_cannot_be_changed_later(task):
    formulas = {"area": "bill_length_mm * bill_depth_mm"}
    graph = prep.mutate(formulas) >> ingress.num()
    formulas["area"] = "1 +"
    assert graph.settings["mutate__formulas"] == {"area": "bill_length_mm * bill_depth_mm"}
    assert graph_from_dict(graph_to_dict(graph)).settings == graph.settings


@pytest.mark.parametrize("kind", sorted(kind for kind, layer in LAYERS.items() if issubclass(layer, Prep)))
def test_every_step_is_data_and_says_the_settings_of_preprocessing(kind):
    layer = LAYERS[kind]
    given = {"n": 4, "degree": 2, "formulas": {"area": "a * b"}}
    required = {param.name: given[param.name] for param in layer.params() if param.default is REQUIRED}
    step = Graph.of(layer(**required))
    assert graph_from_dict(json.loads(json.dumps(graph_to_dict(step)))).outputs[0].layer == step.outputs[0].layer
    defaults = ColumnsConfig()
    asked = step.outputs[0].layer.asked
    assert len(asked) == len(layer.params()) or kind == "select"
    assert all(value == getattr(defaults, name) for name, value in asked.items() if value not in required.values())


def test_which_images_and_texts_are_missing_enters_beside_steps():
    task, photo = pictures(), prep.images(8, 8) >> ingress.image() >> nn.flatten()
    texts = ingress.text() >> nn.embedding_bag(2)
    numbers = [prep.scale("quantile") >> ingress.num(), ingress.num(), prep.select("age", "photo") >> ingress.num()]
    for number in numbers:
        learner = ol.learner([number, photo, texts] >> nn.merge_cat() >> SMALL, **QUICK)
        ingress_of = steps_of(learner, task).ingress
        assert ["age", "photo:missing"] in [list(each.num_names) for each in (ingress_of, *ingress_of.groups)]
        assert sum(tensor.kind == "image" for tensor in ingress_of.tensors.values()) == 1
    model = learner.fit(task, progress=False)
    none = task.frame.iloc[[5]]
    assert model.verify().ok
    assert np.isfinite(model.predict(none).prob).all()
    lost = [prep.select("age") >> ingress.num(), photo, texts]
    with pytest.raises(DataError, match=r"no ingress.num\(\) takes 'photo:missing', which tells where the image is missing"):
        ol.learner(lost >> nn.merge_cat() >> SMALL, **QUICK).fit(task)
    ol.learner(lost >> nn.merge_cat() >> SMALL, missing_indicator=False, **QUICK).shapes(task)
