"""Columns of images, from a table to a file and back: tasks, training, predicting."""

import errno
import io
import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from PIL import Image

import onnxlearn as ol
from onnxlearn import ingress, nn
from onnxlearn.errors import DataError, DataTypeError, ImageReadError, OutputError, ParameterError
from onnxlearn.files.stream import evaluate_file, predict_file
from onnxlearn.images import reading, run
from onnxlearn.images.feed import ImageFeed
from onnxlearn.remarks import RowsWarning
from onnxlearn.tasks.fingerprint import task_fingerprint
from onnxlearn.tasks.roles import TaskWarning
from onnxlearn_models.training.lazy import LazyTensors

N = 60


def drawn(i, size=(12, 12), channels=()):
    """A bright left half, or a bright right one."""
    pixels = np.random.default_rng(i).integers(1, 60, (*size, *channels), np.uint8)
    half = pixels[:, : size[1] // 2] if i % 2 else pixels[:, size[1] // 2 :]
    half += 150
    return pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i in range(N):
        Image.fromarray(drawn(i, (12 + i % 3, 10 + i % 2))).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"photo": [f"{i}.png" for i in range(N)], "x": rng.normal(size=N), "side": ["rl"[i % 2] for i in range(N)]}
    )


@pytest.fixture(scope="module")
def task(frame, folder):
    return ol.Task.from_frame(frame, "side", kinds={"photo": "image"}, images=ol.ImageRules(folder=folder))


def net():
    pixels = ingress.image() >> nn.conv2d(4, 3) >> nn.relu() >> nn.flatten()
    return [pixels, ingress.num(optional=True)] >> nn.merge_cat() >> nn.linear(8) >> nn.relu() >> nn.head()


def learner(**settings):
    quick = {"image_height": 8, "image_width": 8, "max_epochs": 12, "lr": 1e-2, "batch_size": 16, "seed": 0, "device": "cpu"}
    return ol.learner(net(), **{**quick, **settings})


@pytest.fixture(scope="module")
def model(task):
    return learner().fit(task, progress=False)


def png(i):
    data = io.BytesIO()
    Image.fromarray(drawn(i, (12 + i % 3, 10 + i % 2))).save(data, "PNG")
    return data.getvalue()


def test_grey_images_of_several_sizes_are_learned(task, model):
    column = task.schema.column("photo")
    assert (column.kind, column.n_channels, column.has_missing) == ("image", 1, False)
    assert model.scores["validation"]["acc"] > 0.9
    assert model.metadata["parity"]["max_difference"] < 1e-5
    assert model.schema.ingress.columns[0].shape == (1, 8, 8)


def test_all_ways_in_give_the_same(frame, folder, model, task, tmp_path):
    rules = ol.ImageRules(folder=folder)
    expected = model.predict(frame, images=rules).prob
    np.testing.assert_array_equal(model.predict(task).prob, expected)
    cells = {
        "paths": [str(folder / name) for name in frame["photo"]],
        "bytes": [png(i) for i in range(N)],
        "dicts": [{"bytes": png(i), "path": None} for i in range(N)],
        "arrays": [drawn(i, (12 + i % 3, 10 + i % 2)) for i in range(N)],
    }
    for what, photos in cells.items():
        np.testing.assert_array_equal(model.predict(frame.assign(photo=photos)).prob, expected, err_msg=what)
    frame.to_csv(folder / "t.csv", index=False)
    np.testing.assert_array_equal(model.predict(folder / "t.csv").prob, expected)
    frame.assign(photo=cells["bytes"]).to_parquet(tmp_path / "t.parquet")
    np.testing.assert_array_equal(model.predict(tmp_path / "t.parquet").prob, expected)
    one = model.predict_one({"photo": cells["bytes"][3], "x": frame["x"][3]})
    np.testing.assert_allclose(list(one["probabilities"].values()), expected[3], atol=1e-6)
    stacked = np.stack([drawn(i)[:, :, np.newaxis] for i in range(4)])
    session = onnxruntime.InferenceSession(model.to_bytes())
    raw = session.run(["probabilities"], {"photo": stacked, "x": frame[["x"]].to_numpy()[:4]})[0]
    np.testing.assert_allclose(model.predict(frame[:4].assign(photo=list(stacked))).prob, raw, atol=1e-6)


def test_the_file_verifies_itself_and_takes_no_rows(model, tmp_path):
    model.save(tmp_path / "m.onnx")
    again = ol.load(tmp_path / "m.onnx")
    assert again.verify().ok
    empty = {"photo": np.zeros((0, 9, 5, 1), np.uint8), "x": np.zeros((0, 1))}
    assert again.predict_feeds(empty)["probabilities"].shape == (0, 2)
    assert again.predict(pd.DataFrame({"photo": [], "x": []})).prob.shape == (0, 2)


def test_images_read_batch_by_batch_train_the_same_network(task, model):
    lazy = learner(image_memory=0.0).fit(task, progress=False)
    np.testing.assert_array_equal(lazy.predict(task).prob, model.predict(task).prob)


def test_a_missing_image_is_known_as_one(frame, folder):
    some = frame.assign(photo=frame["photo"].where(np.arange(N) % 3 > 0, None))
    task = ol.Task.from_frame(some, "side", kinds={"photo": "image"}, images=ol.ImageRules(folder=folder))
    model = learner(min_level_rows=2).fit(task, progress=False)
    assert "photo:missing" in model.schema.ingress.num_names
    zeros = some.assign(photo=[np.zeros((3, 3), np.uint8) if cell is None else cell for cell in some["photo"]])
    rules = ol.ImageRules(folder=folder)
    np.testing.assert_array_equal(model.predict(zeros, images=rules).prob, model.predict(some, images=rules).prob)


@pytest.fixture
def broken(frame, folder):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return frame.assign(photo=frame["photo"].replace({"4.png": "nowhere.png", "7.png": "broken.png"}))


def test_an_image_that_cannot_be_read_is_an_error_by_default(broken, folder, model):
    task = ol.Task.from_frame(broken, "side", kinds={"photo": "image"}, images=ol.ImageRules(folder=folder))
    with pytest.raises(ImageReadError, match=r"column 'photo', row \d, '(nowhere|broken)\.png': "):
        learner(validation=None).fit(task, progress=False)
    with pytest.raises(ImageReadError, match=r"column 'photo', row 4, 'nowhere\.png': there is no file"):
        model.predict(broken, images=ol.ImageRules(folder=folder))
    broken.to_csv(folder / "broken.csv", index=False)
    with pytest.raises(ImageReadError, match=r"column 'photo', line 6, 'nowhere\.png'"):
        model.predict(folder / "broken.csv")


def test_rows_that_are_skipped_are_told(broken, folder, model):
    rules = ol.ImageRules(folder=folder, policy="skip")
    with pytest.warns(
        TaskWarning, match=r"2 images cannot be read, and their rows are left out \(the rule policy=skip of images\)"
    ):
        task = ol.Task.from_frame(broken, "side", kinds={"photo": "image"}, images=rules)
    assert task.n_rows == N - 2
    assert "2 images cannot be read, and their rows are left out (the rule policy=skip of images)" in task.notes
    assert any("row 4, 'nowhere.png'" in note for note in task.notes)
    with pytest.raises(ParameterError, match="every row is predicted: use policy=missing or policy=error"):
        model.predict(broken, images=rules)


def test_images_may_count_as_missing(broken, folder, model):
    rules = ol.ImageRules(folder=folder, policy="missing")
    missing = broken.assign(photo=broken["photo"].replace({"nowhere.png": None, "broken.png": None}))
    with pytest.warns(
        RowsWarning,
        match=r"cannot be read, and count as missing \(the rule policy=missing of images\): 2, the first in .* row 4, 'no",
    ):
        got = model.predict(broken, images=rules).prob
    with pytest.warns(RowsWarning, match="are missing, as none was in training: 2, the first in column 'photo', row 4"):
        np.testing.assert_array_equal(got, model.predict(missing, images=rules).prob)
    assert ol.Task.from_frame(broken, "side", kinds={"photo": "image"}, images=rules).schema.column("photo").has_missing


def test_what_is_lost_in_reading_is_told_once_with_its_count(frame, folder, model):
    night = frame.assign(photo=frame["photo"].astype(object))
    for row in (9, 2, 11):
        night.at[row, "photo"] = np.zeros((5, 5), np.uint8)
    with pytest.warns(RowsWarning) as told:
        model.predict(night, images={"folder": folder})
    assert [str(each.message) for each in told] == [
        "images that are black throughout, which counts as missing: 3, the first in column 'photo', row 2, array"
    ]
    for memory in (1.0, 0.0):
        rows = ol.Task.from_frame(night, "side", kinds={"photo": "image"}, images={"folder": folder})
        with pytest.warns(RowsWarning) as told:
            learner(image_memory=memory, image_workers=2, max_epochs=2).fit(rows, progress=False)
        assert [str(each.message).partition(", the first")[0] for each in told] == [
            "images that are black throughout, which counts as missing: 3"
        ]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_is_lost_is_told_once_of_a_resampling_on_any_processes(frame, folder, n_jobs):
    night = frame.assign(photo=frame["photo"].astype(object))
    for row in (9, 2, 11):
        night.at[row, "photo"] = np.zeros((5, 5), np.uint8)
    rows = ol.Task.from_frame(night, "side", kinds={"photo": "image"}, images={"folder": folder})
    with pytest.warns(RowsWarning) as told:
        ol.resample(rows, learner(max_epochs=1), ol.CV(folds=2), measures=["acc"], n_jobs=n_jobs)
    assert [str(each.message) for each in told if issubclass(each.category, RowsWarning)] == [
        "images that are black throughout, which counts as missing: 3, the first in column 'photo', row 2, array"
    ]


def test_what_is_lost_is_told_once_of_an_importance(frame, folder, model):
    night = pd.concat([frame] * 4, ignore_index=True).astype({"photo": object})
    for row in (2, 200):
        night.at[row, "photo"] = np.zeros((5, 5), np.uint8)
    with pytest.warns(RowsWarning) as told:
        ol.importance(model, night, images={"folder": folder}, progress=False)
    assert [str(each.message).partition(", the first")[0] for each in told] == [
        "images that are black throughout, which counts as missing: 2"
    ]


def test_images_of_one_size_alone(frame, folder):
    same = frame.assign(photo=[drawn(i) for i in range(N)])
    task = ol.Task.from_frame(same, "side", kinds={"photo": "image"})
    model = learner(image_fit="none", image_height=12, image_width=12).fit(task, progress=False)
    shape = onnxruntime.InferenceSession(model.to_bytes()).get_inputs()[0].shape
    assert shape == ["N", 12, 12, 1]
    with pytest.raises(ImageReadError, match=r"row 1: images of this column have 12 x 12 pixels, this one 13 x 11"):
        model.predict(frame[:2].assign(photo=[same["photo"][0], drawn(1, (13, 11))]))
    with pytest.warns(RowsWarning, match="missing"):
        assert model.predict(frame[:2].assign(photo=[None, same["photo"][0]])).prob.shape == (2, 2)
    assert model.verify().ok


def test_colours_and_two_columns():
    table = pd.DataFrame(
        {
            "photo": [drawn(i, (8, 8), (3,)) for i in range(N)],
            "scan": [drawn(i + 1, (9, 9 + i % 2)) for i in range(N)],
            "y": np.arange(N) % 2 + 0.5,
        }
    )
    task = ol.Task.from_frame(table, "y", type="regression", kinds={"photo": "image", "scan": "image"})
    assert [column.n_channels for column in task.schema.features] == [3, 1]
    both = (
        [ingress.image("photo"), ingress.image("scan")] >> nn.merge_cat(dim=1) >> nn.conv2d(4, 3) >> nn.flatten() >> nn.head()
    )
    model = ol.learner(both, image_height=6, image_width=6, max_epochs=1, seed=0, device="cpu").fit(task, progress=False)
    assert model.predict(table).response.shape[0] == N
    with pytest.raises(DataError, match=r"the task has 2 columns of this kind, 'photo', 'scan': name one"):
        raise_as_data(lambda: ol.learner(ingress.image() >> nn.flatten() >> nn.head()).shapes(task))
    one = ol.learner(ingress.image("photo") >> nn.flatten() >> nn.head())
    with pytest.raises(DataError, match=r"the graph has no ingress.image\('scan'\)"):
        one.fit(task, progress=False)


def raise_as_data(call):
    try:
        call()
    except ParameterError as error:
        raise DataError(str(error)) from error


def test_a_learner_without_images_says_so(task):
    with pytest.raises(DataError, match="column 'photo' is of kind image, which this learner does not take"):
        ol.learner("mlp").fit(task, progress=False)


def test_cells_that_are_no_images(frame):
    with pytest.raises(DataTypeError, match="column 'x', row 0: an image is a path, bytes"):
        ol.Task.from_frame(frame, "side", kinds={"x": "image"})


def test_folds_and_processes(task):
    scores = ol.resample(task, learner(max_epochs=2), ol.CV(folds=2), measures=["acc"], n_jobs=2).scores
    assert (scores["status"] == "done").all()


def test_the_fingerprint_follows_the_files(frame, folder, tmp_path):
    def made(photos):
        table = frame[:2].assign(photo=photos, side=["l", "r"])
        return task_fingerprint(ol.Task.from_frame(table, "side", kinds={"photo": "image"}))

    path = tmp_path / "a.png"
    path.write_bytes(png(1))
    before = made([str(path), None])
    assert made([str(path), None]) == before
    path.write_bytes(png(2))
    assert made([str(path), None]) != before


def test_relative_folders(task, frame, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    near = ol.Task.from_frame(frame, "side", kinds={"photo": "image"}, images=ol.ImageRules(folder=folder.name))
    model = learner(max_epochs=1).fit(near, progress=False)
    expected = learner(max_epochs=1).fit(task, progress=False)
    np.testing.assert_array_equal(model.predict(near).prob, expected.predict(task).prob)


def test_rows_that_are_read_in_each_epoch_have_target_encodings_of_other_folds(frame, folder):
    shops = frame.assign(shop=np.random.default_rng(1).choice(["a", "b", "c"], N))
    task = ol.Task.from_frame(shops, "side", kinds={"photo": "image"}, images=ol.ImageRules(folder=folder))
    kept, lazy = (
        learner(cat_encoding="target", num_select=2, max_epochs=2, image_memory=memory).fit(task, progress=False)
        for memory in (1.0, 0.0)
    )
    np.testing.assert_array_equal(kept.predict(task).prob, lazy.predict(task).prob)
    whole = learner(cat_encoding="onehot", max_epochs=2).fit(task, progress=False)
    assert not np.array_equal(kept.predict(task).prob, whole.predict(task).prob)


def test_threads_that_read_leave_the_filters_of_warnings_alone(task, frame, folder, model):
    before = list(warnings.filters)
    for _ in range(5):
        model.predict(frame, images={"folder": folder})
    learner(max_epochs=1).fit(task, progress=False)
    assert list(warnings.filters) == before


def test_rows_that_cannot_be_read_are_left_out_of_scores(broken, folder, model, tmp_path):
    path = tmp_path / "broken.csv"
    broken[[name for name in broken if name != "photo"]].assign(photo=broken["photo"]).to_csv(path, index=False)
    rules = {"folder": folder, "policy": "skip"}
    with pytest.warns(TaskWarning):
        kept = ol.Task.from_frame(broken, "side", kinds={"photo": "image"}, images=rules)
    told = r"cannot be read, and whose rows are left out \(.*policy=skip.*\): 2, the first in "
    with pytest.warns(RowsWarning, match=told):
        scores = evaluate_file(model, path, images=rules)
    assert scores == pytest.approx(model.predict(kept).scores(list(scores)))
    with pytest.warns(RowsWarning, match=told):
        assert model.score(broken, *scores, images=rules) == pytest.approx(scores)
    with pytest.warns(RowsWarning, match="rows are left out"), pytest.raises(DataError, match="leaves no row"):
        model.score(broken[4:5], "acc", images=rules)
    with pytest.raises(ParameterError, match="here every row is predicted: use policy=missing"):
        model.predict(broken, images=rules)


def test_one_row_and_scores_take_rules(broken, frame, folder, model):
    rules = {"folder": folder, "policy": "missing"}
    with pytest.warns(RowsWarning, match="cannot be read"):
        assert 0 <= model.score(broken, "acc", images=rules) <= 1
    with pytest.warns(RowsWarning, match="cannot be read"):
        found = model.predict_one({**frame.iloc[0].to_dict(), "photo": "nowhere.png"}, images=rules)
    with pytest.warns(RowsWarning, match="are missing, as none was in training: 1, the first in column 'photo'"):
        assert model.predict_one({**frame.iloc[0].to_dict(), "photo": None}) == found


def test_validation_rows_have_images_of_their_own(frame, folder, task, tmp_path):
    for i in range(N):
        # Names are the same, the sides are not.
        Image.fromarray(drawn(i)[:, ::-1]).save(tmp_path / f"{i}.png")
    other = ol.Task.from_frame(frame, "side", kinds={"photo": "image"}, images={"folder": tmp_path})
    own = learner(validation=frame).fit(task, progress=False).metadata["training"]["scores"]["validation"]
    turned = learner(validation=other).fit(task, progress=False).metadata["training"]["scores"]["validation"]
    assert own["acc"] > 0.9
    assert turned["acc"] <= 0.6


def test_a_folder_of_tables_with_their_pictures(frame, model, tmp_path):
    for part in (0, 1):
        (tmp_path / f"p{part}").mkdir()
        for i in range(6):
            Image.fromarray(drawn(i + part)).save(tmp_path / f"p{part}" / f"{i}.png")
        frame[:6].to_csv(tmp_path / f"p{part}" / "part.csv", index=False)
    labels = model.predict(tmp_path).response
    assert list(labels) == [*"rlrlrl", *"lrlrlr"]


def test_a_chunk_without_an_image_that_can_be_read_is_left_out(frame, folder, model, tmp_path, monkeypatch):
    monkeypatch.setattr("onnxlearn.files.stream.BATCH_ROWS", 1)
    monkeypatch.setattr(type(model), "block_rows", lambda self, most: 10)
    path = tmp_path / "holes.csv"
    frame.assign(photo=["nowhere.png"] * 20 + list(frame["photo"][20:])).to_csv(path, index=False)
    with pytest.warns(RowsWarning, match="rows are left out .*: 20, the first in column 'photo', line 2"):
        scores = evaluate_file(model, path, images={"folder": folder, "policy": "skip"})
    assert scores["acc"] == model.score(frame[20:], "acc", images={"folder": folder})


def test_calls_side_by_side_tell_of_their_own_rows(frame, folder, model):
    black = frame.assign(photo=[np.zeros((5, 5), np.uint8)] * N)
    with warnings.catch_warnings(record=True, action="always") as said, ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda rows: model.predict(rows, images={"folder": folder}), [black, frame, black[:7], frame]))
        told = sorted(str(each.message).partition(", the first")[0] for each in said)
    assert told == [f"images that are black throughout, which counts as missing: {n}" for n in (N, 7)]


def test_what_is_no_image_says_so(frame, folder, model, tmp_path):
    with pytest.raises(
        ImageReadError, match=r"'iVBOR.{35}'\.\.\.: a text so long is no path; images in base64 are taken by servers"
    ):
        model.predict(frame[:1].assign(photo=["iVBOR" + "w0KGgo" * 400]))
    with pytest.raises(ImageReadError, match=r"not \[293\]: the bytes of a file are given as bytes\(array\)"):
        model.predict(frame[:1].assign(photo=[np.zeros(293, np.uint8)]))
    with pytest.raises(ParameterError, match="says how images are read, and no column is one: say which, kinds="):
        ol.Task.from_frame(frame, "side", images={"folder": folder})
    with pytest.warns(TaskWarning, match="column 'photo': no row has an image"):
        ol.Task.from_frame(frame.assign(photo=None), "side", kinds={"photo": "image"})
    nothing = {"bytes": None, "path": None}
    task = ol.Task.from_frame(
        frame.assign(photo=[nothing, *frame["photo"][1:]]), "side", kinds={"photo": "image"}, images={"folder": folder}
    )
    assert task.schema.column("photo").has_missing


def test_a_csv_holds_no_images(frame, folder, model, tmp_path):
    data = frame[:3].assign(photo=[(folder / name).read_bytes() for name in frame["photo"][:3]])
    data.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(OutputError, match=r"CSV holds no bytes, such as those of images: write Parquet"):
        predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.csv", keep=["photo"])
    assert not (tmp_path / "out.csv").exists()
    predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.parquet", keep=["photo"])
    assert pd.read_parquet(tmp_path / "out.parquet")["photo"].tolist() == data["photo"].tolist()


def test_images_are_decoded_as_far_as_there_is_room(frame, folder, model, monkeypatch):
    held = []
    read = ImageFeed.read

    def counted(self):
        batch = read(self)
        held.append([image.size for image in batch.images])
        return batch

    expected = model.predict(frame, images={"folder": folder}).prob
    monkeypatch.setattr(ImageFeed, "read", counted)
    monkeypatch.setattr(run, "MAX_VALUES", 1000)
    parts = run._parts(task_feeds(frame, folder))
    sizes = []
    for part in parts:
        images = part["photo"].images
        sizes.append(sum(image.size for image in images))
        assert sum(image.size for image in images[:-8]) < 1000
    assert len(sizes) > 3
    assert max(map(len, held)) == 8
    np.testing.assert_allclose(model.predict(frame, images={"folder": folder}).prob, expected, atol=1e-6)


def task_feeds(frame, folder):
    return dict(ol.Task.from_frame(frame, "side", kinds={"photo": "image"}, images={"folder": folder}).feeds())


def test_beyond_image_memory_nothing_is_kept(task):
    kept, read = (learner(image_memory=memory).prepare(task) for memory in (1.0, 0.0))
    with kept.readers, read.readers:
        assert "image_photo" in kept.tensors(kept.train).inputs
        lazy = read.tensors(read.train)
        assert isinstance(lazy, LazyTensors)
        assert not lazy.inputs


def test_images_come_as_one_array_too(task, model):
    whole = np.stack([drawn(i) for i in range(5)])
    np.testing.assert_array_equal(
        model.predict({"photo": whole, "x": np.zeros(5)}).prob, model.predict({"photo": list(whole), "x": [0.0] * 5}).prob
    )


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_called_so(frame, folder, model):
    (folder / "0.png").chmod(0)
    try:
        with pytest.raises(ImageReadError, match=r"the file cannot be opened \(Permission denied\)"):
            model.predict(frame[:1], images={"folder": folder})
    finally:
        (folder / "0.png").chmod(0o644)


def test_what_the_system_cannot_do_is_no_fault_of_an_image(frame, folder, model, monkeypatch):
    def full(path):
        raise OSError(errno.EMFILE, "Too many open files", path)

    monkeypatch.setattr(reading.os, "stat", full)
    with pytest.raises(DataError, match="images cannot be read: Too many open files") as told:
        model.predict(frame[:1], images={"folder": folder, "policy": "missing"})
    assert not isinstance(told.value, ImageReadError)
