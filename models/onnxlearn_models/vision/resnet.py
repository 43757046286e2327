"""Residual networks for images.

He et al. (2016), "Deep Residual Learning for Image Recognition": section 4.2, the form for CIFAR's small images, and table 1,
that for ImageNet. Parameters of the latter are called as in torchvision, whose weights it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn import functional

from onnxlearn.errors import ParameterError
from onnxlearn.params import param
from onnxlearn.schema import Schema
from onnxlearn_models.vision.encoder import Encoder, initialize_convolutions
from onnxlearn_models.vision.fused import FusedConfig, ImageLearner, image_network

N_STAGES = {"small": 3, "imagenet": 4}
# Channels that a bottleneck gives, for each that it has inside.
EXPANSION = 4


@dataclass(frozen=True, kw_only=True)
class ResNetShape:
    """Shape of the residual network: 3, 3, 3 blocks and 16 channels are the paper's ResNet-20 for CIFAR.

    ``stem="imagenet"`` with ``width=64`` is ResNet-18 with blocks 2, 2, 2, 2, ResNet-34 with 3, 4, 6, 3, and with
    ``bottleneck=True`` ResNet-50.
    """

    n_blocks: int | tuple[int, ...] = param(
        3, "residual blocks of each stage, or of all alike: 3 stages, 4 with the stem for imagenet", low=1, on="images"
    )
    width: int = param(16, "channels of the first stage; each further one has twice as many", low=1, on="images")
    stem: Literal["small", "imagenet"] = param(
        "small", "small: a 3x3 convolution; imagenet: a 7x7 one and a pooling, which leave a quarter of the pixels a side",
        on="images",
    )  # fmt: skip
    bottleneck: bool = param(False, "blocks of 1x1, 3x3 and 1x1 convolutions, the last with 4 times the channels", on="images")
    shortcut: Literal["projection", "padding"] = param(
        "projection", "past blocks that change sizes: a 1x1 convolution, or zeros for further channels (the paper's option A)",
        on="images",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if isinstance(self.n_blocks, tuple) and len(self.n_blocks) != N_STAGES[self.stem]:
            raise ParameterError(
                f"n_blocks={list(self.n_blocks)} has to name {N_STAGES[self.stem]} stages with stem={self.stem!r}, "
                f"not {len(self.n_blocks)}"
            )

    @property
    def blocks(self) -> Sequence[int]:
        """Blocks of each stage."""
        return self.n_blocks if isinstance(self.n_blocks, tuple) else (self.n_blocks,) * N_STAGES[self.stem]


class ResNetEncoder(Encoder):
    """Stem, stages of residual blocks, the mean over all pixels.

    >>> import torch
    >>> encoder = ResNetEncoder(3, ResNetShape())
    >>> encoder.d_features, encoder(torch.zeros(2, 3, 32, 32)).shape
    (64, torch.Size([2, 64]))
    """

    def __init__(self, n_channels: int, config: ResNetShape) -> None:
        super().__init__()
        small = config.stem == "small"
        self.conv1 = nn.Conv2d(
            n_channels, config.width, 3 if small else 7, stride=1 if small else 2, padding=1 if small else 3, bias=False
        )
        self.bn1 = nn.BatchNorm2d(config.width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        n_in, self.n_stages = config.width, len(config.blocks)
        for i, n_blocks in enumerate(config.blocks):
            blocks = []
            for j in range(n_blocks):
                blocks.append(Block(n_in, config.width * 2**i, 2 if i and not j else 1, config))
                n_in = blocks[-1].n_out
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.d_features = n_in
        initialize_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, C, h, w]`` to ``[N, d_features]``."""
        x = self.maxpool(functional.relu(self.bn1(self.conv1(x))))
        for i in range(self.n_stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return x.mean(dim=(2, 3))


class Block(nn.Module):
    """What a stage is made of: convolutions beside a shortcut; ``[N, n_in, h, w]`` to ``[N, n_out, h / stride, ...]``."""

    def __init__(self, n_in: int, n_inside: int, stride: int, config: ResNetShape) -> None:
        super().__init__()
        self.n_out = n_inside * EXPANSION if config.bottleneck else n_inside
        if config.bottleneck:
            # DIFF: the paper halves in the first convolution; torchvision, and most since, in the 3x3 one.
            sizes = [(n_in, n_inside, 1, 1), (n_inside, n_inside, 3, stride), (n_inside, self.n_out, 1, 1)]
        else:
            sizes = [(n_in, n_inside, 3, stride), (n_inside, n_inside, 3, 1)]
        self.n_convs = len(sizes)
        for i, (n_from, n_to, kernel, step) in enumerate(sizes, start=1):
            setattr(self, f"conv{i}", nn.Conv2d(n_from, n_to, kernel, stride=step, padding=kernel // 2, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(n_to))
        self.downsample = _shortcut(n_in, self.n_out, stride, config.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions make to what goes past them."""
        y = x
        for i in range(1, self.n_convs + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            if i < self.n_convs:
                y = functional.relu(y)
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(n_in: int, n_out: int, stride: int, kind: str) -> nn.Module | None:
    if n_in == n_out and stride == 1:
        return None
    if kind == "padding":
        return PaddedShortcut(n_out - n_in, stride)
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out))


class PaddedShortcut(nn.Module):
    """Every ``stride``-th pixel, and channels of zeros behind the others."""

    def __init__(self, n_further: int, stride: int) -> None:
        super().__init__()
        self.n_further, self.stride = n_further, stride

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, n, h, w]`` to ``[N, n + n_further, h / stride, w / stride]``."""
        return functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.n_further))


@dataclass(frozen=True, kw_only=True)
class ResNetConfig(ResNetShape, FusedConfig):
    """Shape of the network."""


def build_resnet(schema: Schema, config: ResNetConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
    return image_network(schema, config, lambda column: ResNetEncoder(column.shape[0], config))


class ResNet(ImageLearner):
    """Learner ``resnet``."""

    name: ClassVar[str] = "resnet"
    architecture = staticmethod(build_resnet)
    architecture_config = ResNetConfig
