"""Frozen networks of ONNX in front of the one that is trained."""

import subprocess
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn as torch_nn

import onnxlearn as ol
from onnxlearn import ingress, nn
from onnxlearn.errors import ParameterError
from onnxlearn.images.extractor import Extractor
from onnxlearn.remarks import RowsWarning

N, SIDE, D = 60, 12, 5


class Small(torch_nn.Module):
    """A network whose head has two outputs; ``features`` is what stands before it."""

    def __init__(self):
        super().__init__()
        self.features = torch_nn.Sequential(
            torch_nn.Conv2d(3, 6, 3, padding=1), torch_nn.BatchNorm2d(6), torch_nn.ReLU(), torch_nn.MaxPool2d(2),
            torch_nn.Conv2d(6, D, 3), torch_nn.ReLU(), torch_nn.AdaptiveAvgPool2d(1), torch_nn.Flatten(),
        )  # fmt: skip
        self.head = torch_nn.Linear(D, 2)

    def forward(self, x):
        features = self.features(x)
        return self.head(features), features


def drawn(i):
    """A bright left half, or a bright right one."""
    pixels = np.random.default_rng(i).integers(1, 90, (SIDE + i % 3, SIDE, 3), np.uint8)
    half = pixels[:, : SIDE // 2] if i % 2 else pixels[:, SIDE // 2 :]
    half += 120
    return pixels


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"photo": [drawn(i) for i in range(N)], "x": rng.normal(size=N), "side": ["rl"[i % 2] for i in range(N)]}
    )


@pytest.fixture(scope="module")
def task(frame):
    return ol.Task.from_frame(frame, "side", kinds={"photo": "image"})


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A trained network as torch's exporter writes it: newer operators, weights in a file beside it."""
    torch.manual_seed(0)
    network = Small()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(30):
        x, y = torch.randn(16, 3, SIDE, SIDE), torch.arange(16) % 2
        x[y == 1, :, :, : SIDE // 2] += 1.5
        loss = torch_nn.functional.cross_entropy(network(x)[0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("backbone") / "backbone.onnx"
    with warnings.catch_warnings():
        # The exporter's own.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (torch.zeros(2, 3, SIDE, SIDE),), str(path), input_names=["pixels"],
            output_names=["logits", "features"], dynamic_shapes=({0: torch.export.Dim("batch")},), dynamo=True, verbose=False,
        )  # fmt: skip
    assert (path.parent / "backbone.onnx.data").exists()
    return path


def learner(file, graph=None, **settings):
    quick = {"max_epochs": 12, "lr": 1e-2, "batch_size": 16, "seed": 0, "device": "cpu", "image_extractor_output": "features"}
    return ol.learner(graph or "multimodal", **{**quick, "image_extractor": file, **settings})


@pytest.fixture(scope="module")
def net():
    features = ingress.image() >> nn.batch_norm1d(id="norm")
    return [features, ingress.num(optional=True)] >> nn.merge_cat() >> nn.linear(8) >> nn.relu() >> nn.head()


@pytest.fixture(scope="module")
def model(task, file):
    return learner(file).fit(task, progress=False)


def test_features_enter_in_the_place_of_images(model, file):
    assert model.schema.ingress.columns[0].shape == (D,)
    assert model.scores["validation"]["acc"] > 0.9
    params = model.metadata["learner"]["params"]
    assert params["image_extractor"]["sha256"] == Extractor.of(file).digest
    assert (params["image_height"], params["image_width"]) == (SIDE, SIDE)


def test_the_file_is_the_frozen_network_and_the_head(frame, task, file, tmp_path):
    """What the file says of rows is what ONNX Runtime and numpy make of the frozen network's file."""
    head = ingress.image() >> nn.head()
    model = learner(file, head, max_epochs=3).fit(task_of(frame.drop(columns="x")), progress=False)
    features = by_hand(file, [drawn(i)[:SIDE] for i in range(N)])
    rows = frame.drop(columns="x").assign(photo=[drawn(i)[:SIDE] for i in range(N)])
    weights = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(model.to_bytes()).graph.initializer
    }
    matrix = next(w for name, w in weights.items() if name.startswith("net/") and w.ndim == 2)
    bias = next(w for name, w in weights.items() if name.startswith("net/") and w.shape == (2,) and w.dtype == np.float32)
    logits = features @ (matrix.T if matrix.shape == (2, D) else matrix) + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(rows).prob, expected, atol=1e-6)


def task_of(frame):
    return ol.Task.from_frame(frame, "side", kinds={"photo": "image"})


def by_hand(file, images):
    pixels = (np.stack(images).astype(np.float32).transpose(0, 3, 1, 2) / 255 - 0.5) / 0.5
    session = onnxruntime.InferenceSession(str(file))
    return session.run(["features"], {"pixels": pixels})[0]


def test_the_file_stands_alone(model, frame, tmp_path):
    expected = model.predict(frame).prob
    model.save(tmp_path / "m.onnx")
    frame.to_pickle(tmp_path / "rows.pkl")
    np.save(tmp_path / "expected.npy", expected)
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['onnx'] = None\n"
        "import numpy as np, pandas as pd, onnxlearn as ol\n"
        "model = ol.load('m.onnx'); rows = pd.read_pickle('rows.pkl')\n"
        "np.testing.assert_allclose(model.predict(rows).prob, np.load('expected.npy'), atol=1e-6)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ol.load(tmp_path / "m.onnx").verify().ok


def test_all_learners_that_take_images_by_their_ingress_take_features(task, file, net):
    model = learner(file, net).fit(task, progress=False)
    assert model.scores["validation"]["acc"] > 0.9
    with pytest.raises(
        ParameterError, match=r"'cnn' has no parameter 'image_extractor': its features .* use learner 'multimodal'"
    ):
        ol.learner("cnn", image_extractor=str(file))


def test_missing_images_have_no_features(frame, file):
    some = frame.assign(photo=[None if i % 3 == 0 else cell for i, cell in enumerate(frame["photo"])])
    model = learner(file, min_level_rows=2).fit(task_of(some), progress=False)
    assert "photo:missing" in model.schema.ingress.num_names
    none = some[:2].assign(photo=[None, None], x=[0.0, 0.0])
    zeros = none.assign(photo=[np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)])
    with pytest.warns(RowsWarning, match="images that are black throughout, which counts as missing: 2"):
        black = model.predict(zeros).prob
    # Images of one size are computed together, and sums of more rows round otherwise.
    np.testing.assert_allclose(model.predict(none).prob, black, rtol=0, atol=1e-6)
    assert (tensors(learner(file), some)["image_photo"][::3] == 0).all()
    assert model.predict_feeds({"photo": np.zeros((0, 5, 5, 3), np.uint8), "x": np.zeros((0, 1))})["probabilities"].shape == (
        0,
        2,
    )


def tensors(learner, frame):
    task = task_of(frame)
    return learner.prepare(task).preprocessing.transform(task.feeds())


def test_features_beyond_the_memory_give_the_same_network(task, file, model):
    lazy = learner(file, image_memory=0.0).fit(task, progress=False)
    np.testing.assert_array_equal(lazy.predict(task).prob, model.predict(task).prob)


def test_the_file_is_read_once(task, file, tmp_path):
    path = tmp_path / "b.onnx"
    path.write_bytes(Extractor.of(file).data)
    recipe = learner(str(path), max_epochs=1)
    path.unlink()
    assert recipe.fit(task, progress=False).metadata["learner"] == learner(file, max_epochs=1).to_dict()
    with pytest.raises(ParameterError, match=r"a recipe names its file by the digest [0-9a-f]{64}: give the file that has it"):
        ol.learner("multimodal", image_extractor=recipe.to_dict()["params"]["image_extractor"])


def written(
    path, nodes, shape=("N", 3, SIDE, SIDE), outputs=("y",), opset=18, constants=(), kind=TensorProto.FLOAT, domains=()
):
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("pixels", kind, list(shape))],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants],
    )  # fmt: skip
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


KERNEL = ("w", np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32))
CONV = helper.make_node("Conv", ["pixels", "w"], ["y"], pads=[1, 1, 1, 1])


@pytest.mark.parametrize("opset", [9, 13, 18, 22])
def test_maps_become_their_mean_in_any_operator_set(frame, tmp_path, opset):
    path = written(tmp_path / "b.onnx", [CONV], constants=[KERNEL], opset=opset)
    found = tensors(learner(path, image_extractor_output=None), frame[::3])["image_photo"]
    session = onnxruntime.InferenceSession(str(path))
    pixels = (np.stack(list(frame["photo"][::3])).astype(np.float32).transpose(0, 3, 1, 2) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(found, session.run(None, {"pixels": pixels})[0].mean(axis=(2, 3)), atol=1e-5)


def test_one_row_at_a_time_and_channels_last(frame, tmp_path):
    """A file for a batch of one takes any number of rows where its nodes do; features are those of the other layout."""
    nodes = [helper.make_node("Transpose", ["pixels"], ["first"], perm=[0, 3, 1, 2])]
    nodes += [helper.make_node("Conv", ["first", "w"], ["maps"], pads=[1, 1, 1, 1])]
    nodes += [helper.make_node("Transpose", ["maps"], ["y"], perm=[0, 2, 3, 1])]
    last = written(tmp_path / "last.onnx", nodes, shape=(1, SIDE, SIDE, 3), constants=[KERNEL])
    first = written(tmp_path / "first.onnx", [CONV], shape=("N", 3, "h", "w"), constants=[KERNEL])
    sizes = {"image_height": SIDE, "image_width": SIDE, "image_extractor_output": None}
    a, b = (tensors(learner(path, **sizes), frame)["image_photo"] for path in (last, first))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_grey_images_enter_all_channels(tmp_path):
    path = written(tmp_path / "b.onnx", [CONV], constants=[KERNEL])
    grey = pd.DataFrame({"photo": [drawn(i)[:, :, :1] for i in range(8)], "side": ["rl"[i % 2] for i in range(8)]})
    colour = grey.assign(photo=[np.repeat(cell, 3, axis=2) for cell in grey["photo"]])
    a, b = (tensors(learner(path, image_extractor_output=None), table)["image_photo"] for table in (grey, colour))
    np.testing.assert_allclose(a, b, atol=1e-6)


def node(operator, inputs=("pixels",), outputs=("y",), **attributes):
    return helper.make_node(operator, list(inputs), list(outputs), **attributes)


MEAN = node("ReduceMean", keepdims=0)
BRANCH = helper.make_graph([node("Identity")], "b", [], [helper.make_empty_tensor_value_info("y")])
WRONG = [
    ({"nodes": [CONV], "shape": ("N", 3, 7, 7)}, {"image_height": 9}, r"takes images of image_height=7 alone, not 9: leave"),
    ({"nodes": [CONV], "shape": ("N", 1, 9, 9)}, {}, r"takes images of 1 channels, not of 3: set image_grey=True"),
    ({"nodes": [node("Flatten")], "shape": ("N", 7)}, {}, r"has to take images as FLOAT \[N, channels, height, width\]"),
    ({"nodes": [node("Cast", to=1)], "kind": TensorProto.UINT8}, {}, r"its input 'pixels' is UINT8"),
    ({"nodes": [CONV]}, {"image_extractor_output": "z"}, r"has no tensor 'z' for image_extractor_output.*outputs are 'y'"),
    ({"nodes": [MEAN]}, {}, r"features are FLOAT \[N, d\], or .* 'y' is float32 \[\] for"),
    ({"nodes": [node("Reshape", ["pixels", "s"])], "constants": [("s", np.array([1, -1]))]}, {}, r"float32 \[1, 1296\] for 3"),
    ({"nodes": [node("Softmax", axis=0)]}, {}, r"features of an image are others beside other images"),
    ({"nodes": [node("Log")]}, {}, r"features that are not finite"),
    ({"nodes": [node("Gelu", domain="com.microsoft")], "domains": ["com.microsoft"]}, {}, r"com\.microsoft"),
    ({"nodes": [node("RandomNormalLike")]}, {}, r"operator 'RandomNormalLike', which no learner needs; export it as nodes"),
    ({"nodes": [node("If", then_branch=BRANCH, else_branch=BRANCH)]}, {}, r"'If'"),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "settings", "message"), WRONG)
def test_what_cannot_be_a_part_of_a_file_is_refused(task, tmp_path, graph, settings, message):
    path = written(tmp_path / "b.onnx", **{"constants": [KERNEL], **graph})
    with pytest.raises(ParameterError, match=message) as refused:
        learner(path, **{"image_extractor_output": None, **settings}).prepare(task)
    assert "b.onnx" in str(refused.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ParameterError, match=r"text\.onnx' cannot be read as ONNX"):
        Extractor.of(tmp_path / "text.onnx")
    with pytest.raises(ParameterError, match="there is no file"):
        Extractor.of(tmp_path / "nowhere.onnx")
    with pytest.raises(ParameterError, match="takes a file of ONNX, not a value of type int"):
        Extractor.of(3)


def test_weights_in_other_files(frame, tmp_path):
    """They are read from beside the file; a file that names one elsewhere is refused."""
    path = written(tmp_path / "b.onnx", [CONV], constants=[KERNEL])
    expected = tensors(learner(path, image_extractor_output=None), frame)["image_photo"]
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="b.data", size_threshold=0)
    assert path.stat().st_size < KERNEL[1].nbytes
    np.testing.assert_array_equal(tensors(learner(path, image_extractor_output=None), frame)["image_photo"], expected)
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = "../b.data" if entry.key == "location" else entry.value
    (tmp_path / "inner").mkdir()
    onnx.save(model, tmp_path / "inner" / "b.onnx")
    with pytest.raises(ParameterError, match=r"b\.onnx' cannot be read as ONNX"):
        Extractor.of(tmp_path / "inner" / "b.onnx")


def test_smaller_files_say_what_stays_as_it_was(task, file, tmp_path):
    rest = nn.merge_cat() >> nn.linear(256) >> nn.relu() >> nn.head()
    model = learner(file, [ingress.image(), ingress.num()] >> rest).fit(task, progress=False)
    told = model.export("fp16", tmp_path / "half.onnx", force=True, seconds=0)
    assert "as it was: the network of image_extractor, which stands before" in told
    own = [ingress.image() >> nn.conv2d(4, 3) >> nn.relu() >> nn.flatten(), ingress.num()] >> rest
    size = {"image_height": 16, "image_width": 16}
    model = ol.learner(own, max_epochs=1, device="cpu", **size).fit(task, progress=False)
    told = model.export("int8", tmp_path / "small.onnx", force=True, seconds=0)
    assert told[1] == "in FLOAT as before: 1 convolution"
