"""The settings of augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from onnxlearn.effects import Values, above
from onnxlearn.params import param

CUTS = Values(" < 1", lambda share: share < 1)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How the images of training rows are changed, each time anew; by default not at all.

    What is drawn for an image is uniform in its range, but factors of size and shape are uniform in their logarithm.

    >>> AugmentConfig(augment_flip=0.5, augment_rotate=15).augment_erase
    0.0
    """

    augment_flip: float = param(0.0, "probability that an image is mirrored, left and right", low=0, high=1, on="images")
    augment_flip_vertical: float = param(
        0.0, "probability that an image is mirrored, top and bottom", low=0, high=1, on="images"
    )
    augment_shift: int = param(
        0, "images are moved by up to so many whole pixels along each side, as by padding and cutting out", low=0, on="images"
    )
    augment_crop: float = param(
        1.0, "least share of the area that is cut out and resized to the whole (1: all of it)",
        low=0, low_open=True, high=1, on="images",
    )  # fmt: skip
    augment_crop_ratio: float = param(
        4 / 3, "what is cut out is up to so many times as wide as high by the image's own shape, or as high as wide",
        low=1, high=4, when={"augment_crop": CUTS}, on="images",
    )  # fmt: skip
    augment_rotate: float = param(0.0, "images are turned by up to so many degrees either way", low=0, high=180, on="images")
    augment_translate: float = param(
        0.0, "images are moved by up to this share of each side, between pixels too", low=0, high=1, on="images"
    )
    augment_scale: float = param(1.0, "images are made up to so many times as large, or as small", low=1, high=4, on="images")
    augment_shear: float = param(
        0.0, "vertical lines are leant over by up to so many degrees either way", low=0, high=80, on="images"
    )
    augment_brightness: float = param(0.0, "values are multiplied by 1 - this to 1 + this", low=0, high=1, on="images")
    augment_contrast: float = param(
        0.0, "differences from an image's mean grey are multiplied by 1 - this to 1 + this", low=0, high=1, on="images"
    )
    augment_saturation: float = param(
        0.0, "differences from a pixel's grey are multiplied by 1 - this to 1 + this; grey images stay as they are",
        low=0, high=1, on="images",
    )  # fmt: skip
    augment_hue: float = param(
        0.0, "hues are turned by up to this share of their circle either way; grey images stay as they are",
        low=0, high=0.5, on="images",
    )  # fmt: skip
    augment_erase: float = param(
        0.0, "probability that a rectangle of an image is replaced by the mean colour", low=0, high=1, on="images"
    )
    augment_erase_area: float = param(
        1 / 3, "largest share of an image that the rectangle has, the smallest is 0.02",
        low=0.02, high=1, when={"augment_erase": above(0)}, on="images",
    )  # fmt: skip

    @property
    def asks(self) -> bool:
        """Whether images change by it."""
        return self != AugmentConfig(augment_crop_ratio=self.augment_crop_ratio, augment_erase_area=self.augment_erase_area)
