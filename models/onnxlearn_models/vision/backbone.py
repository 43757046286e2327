"""Networks of others for images, by name, with a head of ours: fine-tuning and transfer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from onnxlearn.errors import ParameterError
from onnxlearn.named import reason
from onnxlearn.params import param
from onnxlearn.preprocess.config import ImagesConfig, PreprocessConfig
from onnxlearn.schema import ColumnTensor, Schema
from onnxlearn_models.training.start import StartWeights
from onnxlearn_models.vision.encoder import Encoder
from onnxlearn_models.vision.fused import FusedConfig, ImageLearner, image_network
from onnxlearn_models.vision.sources import Backbone, find_backbone
from onnxlearn_models.vision.weights import load_weights, read_weights

PRETRAINED = "pretrained"


@dataclass(frozen=True, kw_only=True)
class BackboneConfig(FusedConfig):
    """Which network, and what it begins with."""

    backbone: str = param(
        "resnet18",
        "network for images: resnet18, 34 or 50, resnet20 or 56 for small ones, torchvision:NAME, timm:NAME, or "
        "efficientnet_lite:0 to 4",
        on="images",
    )
    weights: StartWeights | Literal["pretrained"] | None = param(
        None,
        "what it begins with: a file (.safetensors, or a state dict of torch), a state dict, pretrained (what its package has "
        "on this machine; nothing is downloaded), or None: random weights",
        on="images",
    )


class BackboneEncoder(Encoder):
    """A network of somebody else without its classifier; images of one channel enter all three of its channels.

    ``note``: what began otherwise than with the given weights; empty where nothing did.

    Raises: ParameterError where the network does not take such images, or the weights do not fit it.
    """

    def __init__(self, shape: tuple[int, ...], name: str, weights: StartWeights | None) -> None:
        super().__init__()
        n_channels, height, width = shape
        backbone = find_backbone(name)
        self.net = backbone.make(height, width)
        self.grey = n_channels == 1
        self.note = "" if weights is None else load_weights(self.net, weights, removed=backbone.removed)
        self.d_features = _d_features(self, shape, name)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, 1 or 3, h, w]`` to ``[N, d_features]``."""
        features: Tensor = self.net(torch.cat([x, x, x], dim=1) if self.grey else x)
        return features


@torch.no_grad()
def _d_features(encoder: Encoder, shape: tuple[int, ...], name: str) -> int:
    """The width of what comes out for a picture of this shape."""
    was_training = encoder.training
    try:
        found = encoder.eval()(torch.zeros(1, *shape))
    except Exception as error:
        raise ParameterError(
            f"backbone {name!r} does not take images of {shape[1]} x {shape[2]} pixels: {reason(error)}; leave image_height "
            "and image_width out for those that it was made for"
        ) from error
    finally:
        encoder.train(was_training)
    if not isinstance(found, Tensor) or found.ndim != 2:
        raise ParameterError(f"backbone {name!r} gives {_said(found)} for an image, not a row of features: choose another one")
    return found.shape[1]


def _said(found: Any) -> str:
    return f"a tensor {list(found.shape)}" if isinstance(found, Tensor) else f"a value of type {type(found).__name__}"


def weights_of(backbone: Backbone, weights: StartWeights | Literal["pretrained"] | None) -> StartWeights | None:
    """The tensors to begin with. Raises: ParameterError, DataError."""
    if isinstance(weights, str):
        return read_weights(backbone.find_weights())
    return weights


def build_backbone(schema: Schema, config: BackboneConfig) -> nn.Module:
    """The network for a schema whose ingress is set."""
    weights = weights_of(find_backbone(config.backbone), config.weights)

    def encode(column: ColumnTensor) -> Encoder:
        return BackboneEncoder(column.shape, config.backbone, weights)

    return image_network(schema, config, encode)


class BackboneLearner(ImageLearner):
    """Learner ``backbone``. Images are brought to what the network's weights are used to, unless settings say otherwise."""

    name: ClassVar[str] = "backbone"
    architecture = staticmethod(build_backbone)
    architecture_config = BackboneConfig

    def __init__(self, **params: Any) -> None:
        params = given_weights(params)
        name = params.get("backbone", "resnet18")
        if isinstance(name, str):
            self.defaults = {**self.defaults, **find_backbone(name).images}
        super().__init__(**params)

    def choose_preprocessing(self, config: PreprocessConfig, schema: Schema, n_rows: int) -> PreprocessConfig:
        """Where images are grey, grey has the mean of the colours."""
        del n_rows
        return for_channels(config, schema)


def given_weights(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with weights read from their file. Raises: ParameterError, DataError."""
    weights = params.get("weights")
    if weights is None or (isinstance(weights, str) and weights == PRETRAINED):
        return dict(params)
    return {**params, "weights": read_weights(weights)}


def for_channels(config: PreprocessConfig, schema: Schema) -> PreprocessConfig:
    """Settings of images whose means and deviations suit the columns: one number where some of them are grey."""
    assert isinstance(config, ImagesConfig), "learners for images take columns"
    if not (config.image_grey or any(column.n_channels == 1 for column in schema.of_kind("image"))):
        return config
    mean, std = ((sum(values) / len(values),) for values in (config.image_mean, config.image_std))
    return dataclasses.replace(config, image_mean=mean, image_std=std)
