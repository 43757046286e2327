"""A small convolutional network, for small images.

Stages of 3x3 convolutions, each with batch norm, and half as many pixels a side from stage to stage, as in VGG (Simonyan and
Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition") with the batch norm of Ioffe and Szegedy
(2015) and the global average of Lin, Chen and Yan (2014, "Network In Network") instead of dense layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from onnxlearn.errors import ParameterError
from onnxlearn.params import param
from onnxlearn.schema import Schema
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.vision.encoder import Encoder, initialize_convolutions
from onnxlearn_models.vision.fused import FusedConfig, ImageLearner, image_network

# Fewer pixels a side have nothing left for a 3x3 convolution to look at.
SMALLEST_SIDE = 4
MOST_STAGES = 4
# Where another network may stand in its place.
ENCODES = {"image_encoder": "cnn", "image_extractor": None}


@dataclass(frozen=True, kw_only=True)
class CNNShape:
    """Shape of the convolutional part."""

    n_stages: int | None = param(
        None, "stages, each on half as many pixels a side (None: up to 4, so that 4 a side are left)", low=1, high=10,
        when=ENCODES, on="images",
    )  # fmt: skip
    n_convs: int = param(2, "convolutions in a stage", low=1, when=ENCODES, on="images")
    width: int = param(32, "channels of the first stage; each further one has twice as many", low=1, when=ENCODES, on="images")
    kernel_size: int = param(3, "pixels a side that a convolution looks at, an odd number", low=1, when=ENCODES, on="images")
    activation: str = param("relu", "activation function", choices=ACTIVATIONS)

    def __post_init__(self) -> None:
        if self.kernel_size % 2 == 0:
            raise ParameterError(f"kernel_size has to be odd, so that sizes stay as they are, not {self.kernel_size}")


def usual_n_stages(height: int, width: int) -> int:
    """How many stages suit images of a size.

    >>> [usual_n_stages(side, side) for side in (4, 8, 28, 32, 64, 224)]
    [1, 2, 3, 4, 4, 4]
    """
    return max(n for n in range(1, MOST_STAGES + 1) if n == 1 or min(height, width) >> (n - 1) >= SMALLEST_SIDE)


class CNNEncoder(Encoder):
    """Stages of convolution, batch norm and activation, with maximum pooling between them; the mean over all pixels.

    >>> import torch
    >>> encoder = CNNEncoder((1, 8, 8), CNNShape())
    >>> encoder.d_features, encoder(torch.zeros(5, 1, 8, 8)).shape
    (64, torch.Size([5, 64]))

    Raises: ParameterError where the images are too small for so many stages.
    """

    def __init__(self, shape: tuple[int, ...], config: CNNShape) -> None:
        super().__init__()
        n_channels, height, width = shape
        n_stages = config.n_stages or usual_n_stages(height, width)
        if min(height, width) >> (n_stages - 1) < 1:
            raise ParameterError(f"n_stages={n_stages} leave no pixel of images of {height} x {width}: choose fewer")
        self.stages = nn.Sequential()
        for i in range(n_stages):
            self.d_features = config.width * 2**i
            self.stages.append(_stage(n_channels, self.d_features, config, halve=i > 0))
            n_channels = self.d_features
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, C, h, w]`` to ``[N, d_features]``."""
        features: Tensor = self.stages(x).mean(dim=(2, 3))
        return features


def _stage(n_in: int, n_out: int, config: CNNShape, *, halve: bool) -> nn.Sequential:
    parts: list[nn.Module] = [nn.MaxPool2d(2)] if halve else []
    for i in range(config.n_convs):
        convolution = nn.Conv2d(n_out if i else n_in, n_out, config.kernel_size, padding=config.kernel_size // 2, bias=False)
        parts += [convolution, nn.BatchNorm2d(n_out), ACTIVATIONS[config.activation]()]
    return nn.Sequential(*parts)


@dataclass(frozen=True, kw_only=True)
class CNNConfig(CNNShape, FusedConfig):
    """Shape of the network."""


def build_cnn(schema: Schema, config: CNNConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
    return image_network(schema, config, lambda column: CNNEncoder(column.shape, config))


class CNN(ImageLearner):
    """Learner ``cnn``."""

    name: ClassVar[str] = "cnn"
    architecture = staticmethod(build_cnn)
    architecture_config = CNNConfig
