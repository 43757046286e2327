"""Learner ``module``: images in a network of the user's own."""

import io

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import DataError, ParameterError
from onnxlearn.remarks import RowsWarning

N = 48
QUICK = {"image_height": 8, "image_width": 8, "max_epochs": 25, "lr": 1e-2, "batch_size": 16, "seed": 0, "device": "cpu"}


class Pixels(nn.Module):
    """Images alone, of as many columns as there are."""

    def __init__(self, columns, n_outputs, width: int = 4):
        super().__init__()
        self.names = [column.name for column in columns]
        self.convs = nn.ModuleList(nn.Conv2d(column.shape[0], width, 3, padding=1) for column in columns)
        d_flat = sum(width * column.shape[1] * column.shape[2] for column in columns)
        self.head = nn.Linear(d_flat, n_outputs)

    def forward(self, columns):
        maps = [torch.relu(conv(columns[name])).flatten(1) for name, conv in zip(self.names, self.convs, strict=True)]
        return self.head(torch.cat(maps, dim=1))


class Beside(Pixels):
    """Images beside numbers."""

    def __init__(self, n_num, columns, n_outputs):
        super().__init__(columns, n_outputs, 4)
        self.head = nn.Linear(self.head.in_features + n_num, n_outputs)

    def forward(self, columns, num):
        maps = [torch.relu(conv(columns[name])).flatten(1) for name, conv in zip(self.names, self.convs, strict=True)]
        return self.head(torch.cat([*maps, num], dim=1))


def drawn(i):
    """A bright left half or a bright right one, of several sizes."""
    pixels = np.random.default_rng(i).integers(1, 60, (10 + i % 3, 8, 3), np.uint8)
    half = pixels[:, :4] if i % 2 else pixels[:, 4:]
    half += 150
    return pixels


@pytest.fixture(scope="module")
def frame():
    side = ["rl"[i % 2] for i in range(N)]
    return pd.DataFrame({"photo": [drawn(i) for i in range(N)], "x": np.random.default_rng(0).normal(size=N), "side": side})


def task_of(frame):
    kinds = {name: "image" for name in ("photo", "scan") if name in frame}
    return ol.Task.from_frame(frame, "side", kinds=kinds)


@pytest.mark.parametrize("what", [Pixels, Beside])
def test_the_exported_file_takes_images(frame, what, tmp_path):
    columns = ["photo", "side"] if what is Pixels else ["photo", "x", "side"]
    task = task_of(frame[columns])
    learner = ol.learner(what, **QUICK, augment_shift=1, validation=None)
    model = learner.fit(task, progress=False)
    assert model.score(task, "acc") > 0.9
    model.save(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    shapes = {each.name: (each.type, each.shape[1:]) for each in session.get_inputs()}
    kind, shape = shapes["photo"]
    assert kind == "tensor(uint8)"
    assert shape[-1] == 3
    row = {"photo": frame["photo"][4][np.newaxis]} | ({"x": frame[["x"]].to_numpy()[4:5]} if what is Beside else {})
    found = dict(zip([each.name for each in session.get_outputs()], session.run(None, row), strict=True))
    np.testing.assert_allclose(found["probabilities"][0], model.predict(frame[4:5]).prob[0], atol=1e-6)


def test_two_columns_and_rows_without_images(frame):
    two = frame.assign(scan=frame["photo"].map(lambda image: image[..., 0]))
    two.at[3, "scan"] = None
    task = task_of(two.drop(columns="x"))
    with pytest.raises(
        DataError, match=r"asks for columns alone, and column 'scan', image, gives numbers: set missing_indicator="
    ):
        ol.learner(Pixels, **QUICK).fit(task, progress=False)
    model = ol.learner(Pixels, **QUICK, missing_indicator=False).fit(task, progress=False)
    shapes = {column.name: column.shape for column in model.schema.ingress.columns}
    assert shapes == {"image_photo": (3, 8, 8), "image_scan": (1, 8, 8)}
    assert ol.learner(Beside, **QUICK).fit(task_of(two), progress=False).schema.ingress.num_names[-1] == "scan:missing"


def test_images_of_each_epoch_are_read_as_those_that_are_kept(frame):
    task = task_of(frame[["photo", "side"]])
    kept, read = (
        ol.learner(Pixels, **{**QUICK, "max_epochs": 2}, image_memory=memory).fit(task, progress=False) for memory in (1, 0)
    )
    np.testing.assert_array_equal(kept.predict(task).prob, read.predict(task).prob)


def test_what_is_lost_is_told(frame):
    data = io.BytesIO()
    Image.fromarray(drawn(2)).convert("CMYK").save(data, "TIFF")
    photos = frame[["photo", "side"]].astype(object)
    photos.at[2, "photo"] = data.getvalue()
    with pytest.warns(RowsWarning, match="CMYK, .*: 1, the first in column 'photo', row 2, bytes"):
        ol.learner(Pixels, **{**QUICK, "max_epochs": 1}).fit(task_of(photos), progress=False)


class Numbers(nn.Module):
    def __init__(self, n_num, n_outputs):
        super().__init__()
        self.head = nn.Linear(n_num, n_outputs)

    def forward(self, num):
        return self.head(num)


class Wrong(Pixels):
    def forward(self, columns):
        return self.head(columns["photo"].flatten(1))


class Unready(Numbers):
    def forward(self, num, columns):
        return self.head(num + len(columns))


def test_messages(frame):
    task = task_of(frame)
    with pytest.raises(
        DataError, match=r"Numbers\.forward does not ask for columns, .* column 'photo' is one: ask for columns, or"
    ):
        ol.learner(Numbers, **QUICK).fit(task, progress=False)
    with pytest.raises(DataError, match=r"Pixels\.forward asks for columns alone, and column 'x', .* ignore=\['x'\]"):
        ol.learner(Pixels, **QUICK).fit(task, progress=False)
    with pytest.raises(ParameterError, match=r"Wrong\.forward fails on two rows: .*columns is {'image_photo': \[N, 3, 8, 8\]}"):
        ol.learner(Wrong, **QUICK).fit(task_of(frame[["photo", "side"]]), progress=False)
    with pytest.raises(ParameterError, match="columns is None, since no column holds images: let forward do without"):
        ol.learner(Unready, **QUICK).fit(task_of(frame[["x", "side"]]), progress=False)
