"""What is done with a trained model that takes images: inspected, measured, converted, refused."""

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import onnxlearn as ol
from onnxlearn.errors import DataError, ParameterError
from onnxlearn.export import TARGETS
from onnxlearn.registry import learner
from onnxlearn.tasks.roles import TaskWarning

N = 64
SIZE = {"image_height": 8, "image_width": 8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bright left halves and bright right ones, of several sizes, and a table of them beside the folder of images."""
    folder = tmp_path_factory.mktemp("digits")
    (folder / "img").mkdir()
    rng = np.random.default_rng(0)
    for i in range(N):
        pixels = rng.integers(1, 60, (10 + i % 3, 12, 3), np.uint8)
        (pixels[:, :6] if i % 2 else pixels[:, 6:])[:] += 150
        Image.fromarray(pixels).save(folder / "img" / f"{i}.png")
    paths = [f"{i}.png" if i % 20 else "" for i in range(N)]
    pd.DataFrame({"photo": paths, "x": rng.normal(size=N), "side": ["rl"[i % 2] for i in range(N)]}).to_csv(
        folder / "table.csv", index=False
    )
    return folder


@pytest.fixture(scope="module")
def images(folder):
    return {"folder": folder / "img"}


@pytest.fixture(scope="module")
def model(folder, images):
    task = ol.Task.from_file(folder / "table.csv", "side", kinds={"photo": "image"}, images=images)
    settings = {"max_epochs": 12, "lr": 1e-2, "batch_size": 16, "width": 8, "n_convs": 1, "device": "cpu", **SIZE}
    return learner("cnn", **settings).fit(task, progress=False)


def test_importance_shuffles_images(model, folder, images):
    found = ol.importance(model, folder / "table.csv", repeats=2, images=images, progress=False).rows()
    assert found[0]["column"] == "photo"
    assert found[0]["importance"] > 10 * abs(found[1]["importance"])
    frame = pd.read_csv(folder / "table.csv").assign(
        photo=lambda f: [None if p != p else str(folder / "img" / p) for p in f.photo]
    )
    again = ol.importance(model, frame, repeats=2, progress=False).rows()
    assert again == found


def test_dependence_holds_images(model, folder, images):
    found = ol.partial_dependence(
        model, folder / "table.csv", "x", grid=[-1.0, 1.0], images=images, kind="both", progress=False
    )
    assert found.individual.shape == (N, 2, 1)
    table = pd.read_csv(folder / "table.csv").assign(x=-1.0)
    expected = model.predict(table, images=images).prob
    np.testing.assert_allclose(found.individual[:, 0], expected[:, 1:], atol=1e-6)
    with pytest.raises(DataError, match="column 'photo' holds images, which lie on no grid"):
        ol.partial_dependence(model, folder / "table.csv", "photo", images=images)


def test_paths_need_their_folder(model, folder):
    with pytest.raises(DataError, match=r"column 'photo', line 3, '1\.png': there is no file"):
        ol.importance(model, folder / "table.csv", progress=False)
    with pytest.raises(ParameterError, match="policy=skip"):
        ol.importance(model, folder / "table.csv", images={"policy": "skip"}, progress=False)


def test_bench_draws_images_or_reads_them(model, folder, images):
    drawn = ol.bench(model, batch_sizes=[1, 20], n_threads=[1], seconds=0.01, progress=False)
    assert {timing.engine for timing in drawn.timings} == {"onnxruntime", "torch"}
    assert [start.what for start in drawn.starts] == ["model 1", "torch"]
    read = ol.bench(
        model, folder / "table.csv", images=images, batch_sizes=[5], n_threads=[1], seconds=0.01, starts=False, torch=False,
        progress=False,
    )  # fmt: skip
    assert len(read.timings) == 1


@pytest.mark.parametrize(("to", "options"), [("fp16", {}), ("int8", {}), ("int8", {"mode": "static"}), ("onnx", {"opset": 20})])
def test_conversions_predict_the_same(model, folder, images, tmp_path, to, options):
    rows = folder / "table.csv"
    data = {} if to == "onnx" else {"data": rows, "images": images, "seconds": 0.0, "tolerance": 0.1}
    calibration = {"calibration": rows} if options.get("mode") else {}
    model.export(to, tmp_path / "other.onnx", **options, **data, **calibration)
    other = ol.load(tmp_path / "other.onnx")
    assert other.verify().ok
    found, expected = (each.predict(rows, images=images).prob for each in (other, model))
    np.testing.assert_allclose(found, expected, atol=1e-6 if to == "onnx" else 0.05)


@pytest.mark.parametrize("to", sorted(set(TARGETS) - {"onnx", "fp16", "int8", "kserve"}))
def test_other_targets_refuse_images(model, to, tmp_path):
    with pytest.raises(
        ParameterError, match=f"target '{to}' takes no images, which column 'photo' holds; .* 'fp16', 'int8', 'onnx', 'kserve'"
    ):
        model.export(to, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_for_mlserver_has_an_example_with_images(model, tmp_path):
    model.export("kserve", tmp_path / "served")
    request = json.loads((tmp_path / "served" / "request.json").read_text())
    photo = next(tensor for tensor in request["inputs"] if tensor["name"] == "photo")
    assert (photo["datatype"], photo["shape"]) == ("BYTES", [2, 1])
    assert Image.open(io.BytesIO(base64.b64decode(photo["data"][0]))).mode == "RGB"


def test_names_of_image_files_are_told(folder):
    say = r"if it holds paths of images, say kinds=\{'photo': 'image'\} \(--kind photo=image\)"
    with pytest.warns(TaskWarning, match=f"taken for an identifier of the rows .*; {say}"):
        ol.Task.from_file(folder / "table.csv", "side")
    repeated = pd.DataFrame({"photo": ["a.png", "b.png"] * 20, "side": ["r", "l"] * 20})
    with pytest.warns(TaskWarning, match=f"names of image files, trained on as categories; {say}"):
        ol.Task.from_frame(repeated, "side")
