"""Images in requests: bytes of files as base64 text, files or pixels in tensors; never a path."""

import asyncio
import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import onnxlearn as ol
from onnxlearn.errors import DataError, DataTypeError
from onnxlearn.registry import learner
from onnxlearn.remarks import RowsWarning
from onnxlearn.serving.batching import Batcher
from onnxlearn.serving.openapi import row_schema
from onnxlearn.serving.rows import RowReader, RowsError
from onnxlearn.wire import sent
from onnxlearn.wire.examples import example_feeds, example_request, example_rows
from onnxlearn.wire.tensors import Tensor, TensorReader
from onnxlearn.wire.values import Refused

N = 24


def picture(i, size=(10, 12)):
    return np.random.default_rng(i).integers(1, 255, (*size, 3), np.uint8)


def file(i, size=(10, 12), kind="PNG"):
    data = io.BytesIO()
    Image.fromarray(picture(i, size)).save(data, kind)
    return data.getvalue()


def text(data):
    return base64.b64encode(data).decode()


def make_model(**settings):
    pictures = pd.Series([picture(i) for i in range(N)], dtype=object)
    frame = pd.DataFrame({"photo": pictures, "x": np.arange(N) / N, "y": ["a", "b"] * 12})
    task = ol.Task.from_frame(frame, "y", kinds={"photo": "image"})
    quick = {"max_epochs": 1, "width": 4, "n_convs": 1, "device": "cpu", "image_height": 10, "image_width": 12}
    return learner("cnn", **quick, **settings).fit(task, progress=False)


@pytest.fixture(scope="module")
def model():
    return make_model()


def test_rows_hold_files_in_base64(model):
    cells = [file(0), file(1, (7, 30), "JPEG"), None]
    rows = [{"photo": None if cell is None else text(cell), "x": 0.5} for cell in cells]
    rows.append({"photo": "data:image/png;base64," + text(file(0)), "x": 0.5})
    feeds = RowReader(model.schema).feeds(json.loads(json.dumps({"rows": rows})))
    found = model.predict_feeds(feeds)["probabilities"]
    with pytest.warns(RowsWarning, match="are missing, as none was in training"):
        expected = model.predict(pd.DataFrame({"photo": pd.Series([*cells, file(0)], dtype=object), "x": 0.5})).prob
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found[0], found[3])
    assert len(RowReader(model.schema).feeds({"rows": []})["photo"]) == 0


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("/etc/passwd", "an image is sent as the base64 of its file's bytes, and this text is none"),
        ("photo.png", "and this text is none"),
        ("abcd", "an image is a file of .*JPEG"),
        (text(file(3)[:100]), "the file is damaged"),
        (7, "an image is sent as the base64 of its file's bytes, not "),
        ([1, 2], "not a list"),
    ],
)
def test_what_is_no_image_is_refused_with_row_and_field(model, value, rule, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(file(0))
    rows = [{"photo": text(file(0)), "x": 1}, {"photo": value, "x": 1}]
    with pytest.raises(RowsError, match=rule) as caught:
        RowReader(model.schema).feeds({"rows": rows})
    (mistake,) = caught.value.mistakes
    assert (mistake.field, mistake.row) == ("photo", 1)
    assert "as base64 text, or null for missing" in mistake.rule
    if not isinstance(value, list):
        x = Tensor(name="x", datatype="FP64", shape=[2], values=[1, 1])
        with pytest.raises(DataTypeError, match="column 'photo', row 1: "):
            TensorReader(model.schema).feeds([Tensor(name="photo", datatype="BYTES", shape=[2], values=[file(0), value]), x])


def test_a_request_has_so_many_pixels_together(model, monkeypatch):
    monkeypatch.setattr(sent, "MOST_PIXELS", 300)
    rows = [{"photo": text(file(i)), "x": 1} for i in range(3)]
    RowReader(model.schema).feeds({"rows": rows[:2]})
    with pytest.raises(RowsError, match="field 'rows': the images of a request have at most 300 pixels together"):
        RowReader(model.schema).feeds({"rows": rows})


def test_tensors_hold_files_or_pixels(model):
    reader = TensorReader(model.schema)
    x = Tensor(name="x", datatype="FP64", shape=[2, 1], values=[0.5, 0.5])
    pixels = np.stack([picture(0), picture(1)])
    raw = Tensor(name="photo", datatype="UINT8", shape=pixels.shape, values=pixels.ravel().tolist())
    expected = model.predict_feeds(reader.feeds([raw, x]))
    for values in ([file(0), file(1)], [text(file(0)), text(file(1))]):
        found = model.predict_feeds(reader.feeds([x, Tensor(name="photo", datatype="BYTES", shape=[2, 1], values=values)]))
        np.testing.assert_array_equal(found["probabilities"], expected["probabilities"])
    for datatype, shape, values, rule in (
        ("UINT8", [2, 10, 12], [], r"expected pixels of the shape \[N, H, W, 3\]"),
        ("UINT8", [2, 2, 2, 3], [256] * 24, "whole numbers of 0 to 255"),
        ("UINT8", [2, 2, 2, 3], [1] * 23, "is one of 24 whole numbers"),
        ("UINT8", [2, 9999, 9999, 3], [], "at most 25000000 pixels"),
        ("FP32", [2, 2, 2, 3], [0.5] * 24, "the model takes BYTES, the files of images, or UINT8"),
        ("BYTES", [1], [file(0)], "all inputs have equally many rows"),
    ):
        with pytest.raises(DataError, match=rule):
            reader.feeds([Tensor(name="photo", datatype=datatype, shape=shape, values=values), x])


def test_a_file_of_one_size_refuses_others_at_once():
    model = make_model(image_fit="none")
    assert len(RowReader(model.schema).feeds({"rows": [{"photo": text(file(0)), "x": 1}]})["photo"]) == 1
    with pytest.raises(RowsError, match="the model takes images of 10 x 12 pixels, and this one has 7 x 30"):
        RowReader(model.schema).feeds({"rows": [{"photo": text(file(1, (7, 30))), "x": 1}]})
    assert model.predict_feeds(example_feeds(model.schema))["probabilities"].shape == (2, 2)


def test_requests_of_several_sizes_share_a_run(model):
    reader = RowReader(model.schema)
    requests = [
        reader.feeds({"rows": [{"photo": text(file(i, (8 + i % 3, 12))), "x": i} for i in range(start, start + 3)]})
        for start in (0, 3, 6)
    ]
    runs = []

    async def ask():
        batcher = Batcher(model.predict_feeds, max_rows=100, max_waiting=100, wait=0.05, on_run=runs.append)
        return await asyncio.gather(*(batcher.predict(feeds) for feeds in requests))

    answers = asyncio.run(ask())
    assert runs == [9]
    for feeds, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer["probabilities"], model.predict_feeds(feeds)["probabilities"], atol=1e-6)


def test_examples_are_taken_and_described(model):
    rows = example_rows(model.schema)
    by_rows = model.predict_feeds(RowReader(model.schema).feeds({"rows": rows}))
    request = json.loads(json.dumps(example_request(model.schema)))
    tensors = [
        Tensor(name=each["name"], datatype=each["datatype"], shape=each["shape"], values=each["data"])
        for each in request["inputs"]
    ]
    by_tensors = model.predict_feeds(TensorReader(model.schema).feeds(tensors))
    np.testing.assert_array_equal(by_rows["probabilities"], by_tensors["probabilities"])
    told = row_schema(model.schema)["properties"]["photo"]
    assert told["anyOf"][0] == {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/*"}


def test_answers_name_no_rules_that_clients_cannot_set(model):
    frames = [Image.fromarray(np.full((4, 4), grey, np.uint8)) for grey in (9, 99)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    reader = sent.SentImages(model.schema.column("photo"), model.schema)
    with pytest.raises(Refused, match=r"this one has several: save one$"):
        reader.read(base64.b64encode(file.getvalue()).decode())


def test_what_is_lost_of_images_that_are_sent_is_told(model):
    file = io.BytesIO()
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(file, "TIFF")
    reader = sent.SentImages(model.schema.column("photo"), model.schema)
    with pytest.warns(RowsWarning, match="images that are CMYK, .*: 1, the first in column 'photo' of a request"):
        reader.read(base64.b64encode(file.getvalue()).decode())
