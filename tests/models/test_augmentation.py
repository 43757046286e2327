"""Augmentation in training: images of training rows change, everything else sees them as they are."""

import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.registry import learner
from onnxlearn_models.training.callback import Callback

SMALL = {"max_epochs": 2, "batch_size": 16, "device": "cpu", "image_height": 8, "image_width": 8, "width": 4, "n_convs": 1}
SETTINGS = {"augment_flip": 0.5, "augment_shift": 1, "augment_rotate": 20.0, "augment_brightness": 0.3, "augment_erase": 0.5}


class Seen(Callback):
    """The images of each batch, in training and validation."""

    def __init__(self, seen):
        self.seen = seen

    def fresh(self):
        return self

    def batch_begin(self, ctx):
        self.seen["train"].append(ctx.batch.inputs["image_photo"].clone())

    def valid_batch_begin(self, ctx):
        self.seen["valid"].append(ctx.batch.inputs["image_photo"].clone())


def make_task(n=48, *, missing=()):
    rng = np.random.default_rng(0)
    images = [None if i in missing else rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for i in range(n)]
    frame = pd.DataFrame({"photo": pd.Series(images, dtype=object), "y": ["a", "b"] * (n // 2)})
    return ol.Task.from_frame(frame, "y", kinds={"photo": "image"})


def fitted(seen=None, **settings):
    callbacks = () if seen is None else (Seen(seen),)
    return learner("cnn", callbacks=callbacks, **SMALL, **settings).fit(make_task(), progress=False)


def watched(**settings):
    seen = {"train": [], "valid": []}
    fitted(seen, **settings)
    return seen


def pixels(parts):
    """Each image of an epoch as bytes, sorted."""
    return sorted(image.numpy().tobytes() for part in parts for image in part)


def test_training_sees_other_images_in_each_epoch_and_validation_the_same():
    plain, changed = watched(), watched(**SETTINGS)
    n = len(plain["train"]) // 2
    assert pixels(plain["train"][:n]) == pixels(plain["train"][n:])
    own = set(pixels(plain["train"]))
    epochs = [set(pixels(changed["train"][part])) for part in (slice(None, n), slice(n, None))]
    assert len(epochs[0] & own) < len(own) / 2
    assert not (epochs[0] & epochs[1]) - own
    assert pixels(changed["valid"]) == pixels(plain["valid"])


def test_the_seed_decides_and_lazily_read_images_train_the_same_network():
    first, again, lazy, other = (
        fitted(**SETTINGS, **more).predict(make_task().frame).prob.tolist()
        for more in ({}, {}, {"image_memory": 0.0}, {"seed": 1})
    )
    assert first == again == lazy
    assert first != other


def test_what_asks_for_nothing_changes_nothing():
    assert fitted(augment_erase=0.0).to_bytes() == fitted().to_bytes()


def test_learners_without_images_have_no_such_settings():
    with pytest.raises(ParameterError, match="augment_flip"):
        learner("mlp", augment_flip=0.5)


class Both(Callback):
    """The images of both columns in each batch of training."""

    def __init__(self, seen):
        self.seen = seen

    def fresh(self):
        return self

    def batch_begin(self, ctx):
        for name, parts in self.seen.items():
            parts.append(ctx.batch.inputs[f"image_{name}"].clone())


def test_every_column_of_images_changes():
    rng = np.random.default_rng(0)
    columns = {name: pd.Series(list(rng.integers(1, 256, (32, 8, 8, 3), np.uint8)), dtype=object) for name in ("photo", "scan")}
    frame = pd.DataFrame({**columns, "y": ["a", "b"] * 16})
    task = ol.Task.from_frame(frame, "y", kinds=dict.fromkeys(columns, "image"))
    settings = {name: value for name, value in SMALL.items() if name not in ("width", "n_convs")}
    own = {}
    for seen, changes in (({"photo": [], "scan": []}, {}), ({"photo": [], "scan": []}, SETTINGS)):
        learner("multimodal", callbacks=(Both(seen),), seed=0, **settings, **changes).fit(task, progress=False)
        found = {name: set(pixels(parts)) for name, parts in seen.items()}
        own = own or found
    assert all(len(found[name] & own[name]) < len(own[name]) / 2 for name in columns)


def test_settings_that_do_not_suit_the_images_are_refused():
    with pytest.raises(ParameterError, match="augment_shift=8 moves images of 8 x 8 pixels out of themselves"):
        fitted(augment_shift=8)
    with pytest.raises(ParameterError, match=r"augment_saturation=0\.5 and augment_hue=0\.2: all images are grey"):
        fitted(augment_hue=0.2, augment_saturation=0.5, image_grey=True)
