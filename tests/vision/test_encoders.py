"""Our networks for images: the papers' numbers of parameters, every size, features that a trace shows."""

import pytest
import torch
from torch import fx

from onnxlearn.errors import ParameterError
from onnxlearn_models.vision.cnn import CNNEncoder, CNNShape
from onnxlearn_models.vision.resnet import Block, PaddedShortcut, ResNetEncoder, ResNetShape
from onnxlearn_models.vision.sources import RESNETS


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("blocks", "shortcut", "expected"),
    [
        # Of 6 n + 2 layers, and 10 classes: 0.27 M, 0.46 M, 0.66 M, 0.85 M, 1.7 M in table 6 of the paper.
        (3, "padding", 269_722),
        (5, "padding", 464_154),
        (7, "padding", 658_586),
        (9, "padding", 853_018),
        (18, "padding", 1_727_962),
        (3, "projection", 272_474),
    ],
)
def test_the_form_for_cifar_has_the_papers_number_of_parameters(blocks, shortcut, expected):
    encoder = ResNetEncoder(3, ResNetShape(n_blocks=blocks, shortcut=shortcut))
    assert n_parameters(encoder) + 64 * 10 + 10 == expected


@pytest.mark.parametrize(("name", "expected"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)])
def test_the_form_for_imagenet_has_that_of_torchvision(name, expected):
    encoder = ResNetEncoder(3, RESNETS[name])
    assert n_parameters(encoder) + encoder.d_features * 1000 + 1000 == expected


def test_its_parameters_are_called_as_in_torchvision():
    names = ResNetEncoder(3, RESNETS["resnet18"]).state_dict()
    assert len(names) == 120
    assert {"conv1.weight", "bn1.running_var", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight"} <= set(names)
    assert names["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert "layer3.0.downsample.1.bias" in ResNetEncoder(3, RESNETS["resnet50"]).state_dict()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 48), (64, 64), (9, 21)])
def test_every_size_gives_a_row_of_features(channels, size):
    x = torch.randn(3, channels, *size)
    for encoder in (
        CNNEncoder((channels, *size), CNNShape(width=8)),
        ResNetEncoder(channels, ResNetShape(n_blocks=1, width=4)),
        ResNetEncoder(channels, ResNetShape(n_blocks=(1, 2, 1), width=4, bottleneck=True, shortcut="padding")),
        ResNetEncoder(channels, ResNetShape(n_blocks=1, width=4, stem="imagenet")),
    ):
        features = encoder.eval()(x)
        assert features.shape == (3, encoder.d_features)
        traced = fx.symbolic_trace(encoder)
        assert torch.equal(traced(x[:1]), encoder(x[:1]))
        assert torch.isfinite(features).all()


def test_a_padded_shortcut_is_every_second_pixel_and_zeros():
    x = torch.randn(2, 3, 5, 4)
    made = PaddedShortcut(2, 2)(x)
    assert torch.equal(made[:, :3], x[:, :, ::2, ::2])
    assert made.shape == (2, 5, 3, 2)
    assert not made[:, 3:].any()


def test_a_block_adds_to_what_goes_past_it():
    block = Block(4, 4, 1, ResNetShape()).eval()
    for name, parameter in block.named_parameters():
        if name.startswith("bn2"):
            torch.nn.init.zeros_(parameter)
    x = torch.rand(2, 4, 6, 6)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CNNShape(kernel_size=4), "kernel_size has to be odd, so that sizes stay as they are, not 4"),
        (lambda: CNNEncoder((1, 8, 8), CNNShape(n_stages=5)), "n_stages=5 leave no pixel of images of 8 x 8: choose fewer"),
        (lambda: ResNetShape(n_blocks=(1, 2)), r"n_blocks=\[1, 2\] has to name 3 stages with stem='small', not 2"),
        (lambda: ResNetShape(n_blocks=(1, 2, 3), stem="imagenet"), "has to name 4 stages with stem='imagenet', not 3"),
    ],
)
def test_shapes_that_are_none_are_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_sides_of_odd_kernels_stay_as_they_are():
    encoder = CNNEncoder((1, 8, 8), CNNShape(n_stages=1, kernel_size=5, n_convs=3))
    assert encoder.stages(torch.zeros(1, 1, 8, 8)).shape == (1, 32, 8, 8)
