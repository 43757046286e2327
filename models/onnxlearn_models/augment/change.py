"""What the images of a training batch become."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from onnxlearn.errors import ParameterError
from onnxlearn.preprocess.config import ImagesConfig
from onnxlearn.preprocess.preprocessing import Preprocessing
from onnxlearn_models.augment.augment import augment
from onnxlearn_models.augment.config import AugmentConfig
from onnxlearn_models.training.tensors import Change, Tensors


def change_of(configs: Sequence[AugmentConfig], preprocessing: Preprocessing) -> Change | None:
    """The augmentation of every column of images by these settings, none or one; ``None`` where nothing changes.

    Raises: ParameterError where features come in the place of images.
    """
    columns, config = preprocessing.plan.ingress.columns, preprocessing.config
    images = [column.name for column in columns if column.kind == "image"]
    if not images or not any(each.asks for each in configs):
        return None
    assert isinstance(config, ImagesConfig), "images enter by it"
    if config.image_extractor is not None:
        raise ParameterError("image_extractor makes features of images once, before the training: leave augment_... out")
    mean, std = config.image_mean, config.image_std

    def change(batch: Tensors) -> Tensors:
        changed = {name: augment(batch.inputs[name], configs[0], mean=mean, std=std) for name in images}
        return dataclasses.replace(batch, inputs={**batch.inputs, **changed})

    return change
