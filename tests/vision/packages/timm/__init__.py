"""A stand-in with the calls of timm 1.0 that backbones are made by, and a network of a few weights."""

import fnmatch
from dataclasses import dataclass

from torch import nn


@dataclass
class PretrainedCfg:
    url: str | None = None
    file: str | None = None
    hf_hub_id: str | None = None
    hf_hub_filename: str | None = None
    input_size: tuple[int, int, int] = (3, 32, 48)
    interpolation: str = "bicubic"
    crop_pct: float = 0.95
    mean: tuple[float, ...] = (0.5, 0.4, 0.3)
    std: tuple[float, ...] = (0.2, 0.2, 0.1)
    classifier: str | None = "fc"


class Small(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.fc = nn.Identity() if num_classes == 0 else nn.Linear(6, num_classes)

    def forward(self, x):
        return self.fc(self.bn1(self.conv1(x)).mean((2, 3)))


CONFIGS = {
    "small.first": PretrainedCfg(url="https://example.org/timm/small_first-1234.pth"),
    "small.on_hub": PretrainedCfg(hf_hub_id="timm/small.on_hub"),
    "small.in_a_file": PretrainedCfg(file="small.safetensors"),
}


def is_model(name):
    return name.partition(".")[0] in ("small", "bare")


def list_pretrained(pattern):
    return [name for name in CONFIGS if fnmatch.fnmatch(name, pattern)]


def list_models():
    return ["bare", "small"]


def get_pretrained_cfg(name):
    return None if name == "bare" else CONFIGS["small.first" if name == "small" else name]


def create_model(name, pretrained=False, num_classes=1000):
    assert is_model(name)
    assert not pretrained, "nothing is downloaded"
    return Small(num_classes)
