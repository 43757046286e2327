"""The settings of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from onnxlearn.effects import GIVEN
from onnxlearn.errors import ParameterError
from onnxlearn.images.extractor import Extractor
from onnxlearn.params import param
from onnxlearn.schema import Column, ColumnTensor

if TYPE_CHECKING:
    from onnxlearn.images.extraction import Extraction


@dataclass(frozen=True, kw_only=True)
class ImageConfig:
    """How images enter the network: their size there, and the scale of their values.

    ``image_fit``: ``stretch`` resizes to the size there, whatever the shape; ``crop`` keeps the shape, resizes until the image
    covers the size, and cuts out the middle (torchvision's ``Resize`` and ``CenterCrop``; with ``image_crop`` 0.875 for 224,
    resized to 256); ``pad`` keeps the shape, resizes until the image fits in, and puts it in the middle of black; with ``none``
    the file takes images of that size alone. Under ``crop``, what would be longer than 16 times the larger side is squeezed
    to that first. Resized pixels are those of Pillow and torch in float within 0.002 of 255 levels; of bytes, Pillow rounds
    after each of its two passes (1 level), and cuts the overshoots of ``bicubic`` off there (19 levels in pure noise).

    ``image_extractor``: a frozen network in an ONNX file, which becomes part of the model's file. It takes what the other
    settings make of an image, and its features, ``[N, d]``, enter in the image's place; of ``[N, d, h, w]`` the mean over all
    places is taken. Where its input has fixed sizes, these are the defaults of ``image_height`` and ``image_width``. Features
    of a missing image are 0. They are computed once, before the training.

    Raises: ParameterError where means and standard deviations do not fit each other.

    >>> ImageConfig(image_height=32, image_width=32).image_fit
    'stretch'
    """

    image_height: int = param(64, "height of images in the network, in pixels", low=1, high=4096, on="images")
    image_width: int = param(64, "width of images in the network, in pixels", low=1, high=4096, on="images")
    image_fit: Literal["stretch", "crop", "pad", "none"] = param("stretch", "how images are brought to that size", on="images")
    image_crop: float = param(
        1.0, "share of height and width that the middle cut out has", low=0.1, high=1, when={"image_fit": "crop"}, on="images"
    )
    image_resample: Literal["bilinear", "bicubic"] = param(
        "bilinear", "how pixels are weighted when images are resized", on="images"
    )
    image_grey: bool = param(False, "turn colours into grey", on="images")
    image_mean: tuple[float, ...] = param(
        (0.5,), "subtracted from values of 0..1: one number, or one for each channel", on="images"
    )
    image_std: tuple[float, ...] = param((0.5,), "what is left is divided by: one number, or one for each channel", on="images")
    image_extractor: Extractor | None = param(
        None, "an ONNX file of a frozen network, whose features of images enter in their place", on="images"
    )
    image_extractor_output: str | None = param(
        None, "which of its outputs, or of the tensors inside it, is taken (None: the first output)",
        when={"image_extractor": GIVEN}, on="images",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if not self.image_std or not all(0 < std < np.inf for std in self.image_std):
            raise ParameterError(f"image_std holds numbers above 0, not {self.image_std}")
        if not self.image_mean or not np.isfinite(self.image_mean).all():
            raise ParameterError(f"image_mean holds one number, or one for each channel, not {self.image_mean}")


def plan_images(column: Column, config: ImageConfig) -> ColumnTensor:
    """What enters of a column of images, whatever rows there are."""
    n_channels = 1 if config.image_grey else column.n_channels
    size = (config.image_height, config.image_width)
    found = extracted(config, n_channels)
    return ColumnTensor(
        name=f"image_{column.name}", column=column.name, dtype="float32",
        shape=(n_channels, *size) if found is None else (found.d_features,),
        given_size=size if config.image_fit == "none" else (),
    )  # fmt: skip


def extracted(config: ImageConfig, n_channels: int) -> Extraction | None:
    """What makes features of images that enter with so many channels; ``None`` where they enter themselves.

    Raises: ParameterError where the frozen network does not take them.
    """
    if config.image_extractor is None:
        return None
    from onnxlearn.images.extraction import extraction

    size = (config.image_height, config.image_width)
    return extraction(config.image_extractor, config.image_extractor_output, n_channels, *size)
