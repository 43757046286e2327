"""What the images of a training batch become."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from onnxlearn.errors import ParameterError
from onnxlearn.preprocess.fitted import FittedPreprocessing
from onnxlearn_models.augment.augment import augment
from onnxlearn_models.augment.config import AugmentConfig
from onnxlearn_models.training.tensors import Change, Tensors


def change_of(configs: Sequence[AugmentConfig], preprocessing: FittedPreprocessing) -> Change | None:
    """The augmentation of every column of images by these settings, none or one; ``None`` where nothing changes.

    Raises: ParameterError where features come in the place of images, and for settings that do not suit these images.
    """
    images = preprocessing.image_configs
    if not images or not any(each.asks for each in configs):
        return None
    if any(config.image_extractor is not None for config in images.values()):
        raise ParameterError("image_extractor makes features of images once, before the training: leave augment_... out")
    shapes = {name: preprocessing.ingress.shapes[name] for name in images}
    _require_effect(configs[0], shapes)

    def change(batch: Tensors) -> Tensors:
        changed = {
            name: augment(batch.inputs[name], configs[0], mean=config.image_mean, std=config.image_std)
            for name, config in images.items()
        }
        return dataclasses.replace(batch, inputs={**batch.inputs, **changed})

    return change


def _require_effect(config: AugmentConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ``ParameterError`` for colours of grey images, and for moves that leave nothing of an image."""
    colours = {name: getattr(config, name) for name in ("augment_saturation", "augment_hue")}
    given = [f"{name}={value:g}" for name, value in colours.items() if value]
    if given and all(shape[0] == 1 for shape in shapes.values()):
        raise ParameterError(f"{' and '.join(given)}: all images are grey, which have no colours: leave that out")
    for _, height, width in shapes.values():
        if config.augment_shift >= min(height, width):
            raise ParameterError(
                f"augment_shift={config.augment_shift} moves images of {height} x {width} pixels out of themselves: give less"
            )
