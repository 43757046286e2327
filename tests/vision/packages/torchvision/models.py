"""As ``torchvision.models``: ``list_models``, ``get_model_weights``, ``get_model``."""

import enum
import sys
import types
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn


class InterpolationMode(enum.Enum):
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class ImageClassification(nn.Module):
    def __init__(self, *, crop_size, resize_size=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), interpolation):
        super().__init__()
        self.crop_size, self.resize_size = [crop_size], [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation = interpolation


@dataclass
class Weights:
    url: str
    transforms: object
    meta: dict


class Small_Weights(enum.Enum):  # noqa: N801  as there
    IMAGENET1K_V1 = Weights(
        "https://download.pytorch.org/models/small-0a1b2c3d.pth",
        partial(ImageClassification, crop_size=32, resize_size=40, interpolation=InterpolationMode.BILINEAR),
        {},
    )
    IMAGENET1K_V2 = Weights(
        "https://download.pytorch.org/models/small-4e5f6a7b.pth",
        partial(ImageClassification, crop_size=24, resize_size=24, interpolation=InterpolationMode.BICUBIC),
        {},
    )
    DEFAULT = IMAGENET1K_V2

    def __getattr__(self, name):
        # As WeightsEnum: the fields of the value.
        if name in ("url", "transforms", "meta"):
            return getattr(self.value, name)
        return object.__getattribute__(self, name)


class Small(nn.Module):
    """A classifier of 1000 classes behind its features."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(4, 1000))

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x).mean((2, 3)), 1))


class Fixed(Small):
    """As vision transformers: of one size alone."""

    def forward(self, x):
        assert x.shape[-1] == 32, "Wrong image height"
        return super().forward(x)


class Middle(Small):
    """As GoogLeNet: further outputs while it is trained."""

    def __init__(self):
        super().__init__()
        self.aux_logits = True

    def forward(self, x):
        out = super().forward(x)
        return (out, out) if self.training and self.aux_logits else out


class NoClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.only = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.only(x)


class Maps(Small):
    def forward(self, x):
        return self.features(x)


MODELS = {"small": Small, "fixed": Fixed, "middle": Middle, "no_classifier": NoClassifier, "maps": Maps}


def list_models(module: types.ModuleType | None = None) -> list[str]:
    assert module is sys.modules[__name__]
    return sorted(MODELS)


def get_model_weights(name):
    assert name in MODELS
    return Small_Weights


def get_model(name, **config):
    assert config == {"weights": None}, "anything else would be downloaded"
    return MODELS[name]()
