"""What the images of a training batch become."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from onnxlearn.errors import ParameterError
from onnxlearn.preprocess.fitted import FittedPreprocessing
from onnxlearn_models.augment.augment import augment
from onnxlearn_models.augment.config import AugmentConfig
from onnxlearn_models.training.tensors import Change, Tensors


def change_of(configs: Sequence[AugmentConfig], preprocessing: FittedPreprocessing) -> Change | None:
    """The augmentation of every column of images by these settings, none or one; ``None`` where nothing changes.

    Raises: ParameterError where features come in the place of images.
    """
    images = preprocessing.image_configs
    if not images or not any(each.asks for each in configs):
        return None
    if any(config.image_extractor is not None for config in images.values()):
        raise ParameterError("image_extractor makes features of images once, before the training: leave augment_... out")

    def change(batch: Tensors) -> Tensors:
        changed = {
            name: augment(batch.inputs[name], configs[0], mean=config.image_mean, std=config.image_std)
            for name, config in images.items()
        }
        return dataclasses.replace(batch, inputs={**batch.inputs, **changed})

    return change
