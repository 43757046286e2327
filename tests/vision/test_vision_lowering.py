"""Networks for images are lowered by the table, with their batch norms folded, to what torch gives."""

import importlib.util
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.runtime import open_session
from onnxlearn_models.lowering.lower import lower
from onnxlearn_models.vision.cnn import CNNEncoder, CNNShape
from onnxlearn_models.vision.resnet import ResNetEncoder, ResNetShape
from onnxlearn_models.vision.sources import find_backbone

SIDE = 32
NETS = {
    "cnn": lambda: CNNEncoder((3, SIDE, SIDE), CNNShape(n_stages=3, width=8)),
    "resnet": lambda: ResNetEncoder(3, ResNetShape(n_blocks=1, width=8)),
    "resnet with padded shortcuts": lambda: ResNetEncoder(3, ResNetShape(n_blocks=1, width=8, shortcut="padding")),
    "shape of resnet18": lambda: ResNetEncoder(3, ResNetShape(n_blocks=(2, 2, 2, 2), width=8, stem="imagenet")),
    "shape of resnet50": lambda: ResNetEncoder(
        3, ResNetShape(n_blocks=(3, 4, 6, 3), width=4, stem="imagenet", bottleneck=True)
    ),
    "efficientnet_lite:0": lambda: find_backbone("efficientnet_lite:0").make(SIDE, SIDE),
}


class OfImages(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, columns):
        return self.encoder(columns["image_x"])


def trained(net):
    """With the statistics and weights of norms as after training."""
    generator = torch.Generator().manual_seed(0)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.1)
    return net.eval()


def to_model(net):
    g = GraphBuilder()
    x = g.input("image_x", "FLOAT", ["N", 3, SIDE, SIDE])
    g.output(lower(g, net, {"image_x": x}, {"image_x": torch.zeros(1, 3, SIDE, SIDE)}), "y", "FLOAT", ["N", "d"])
    return g.to_model()


@pytest.mark.parametrize("name", NETS)
def test_networks_for_images(name):
    if ":" in name and importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        pytest.skip("needs efficientnet-lite-pytorch")
    torch.manual_seed(0)
    net = trained(OfImages(NETS[name]()))
    model = to_model(net)
    check(model)
    ops = Counter(node.op_type for node in model.graph.node)
    assert ops["Conv"] == sum(isinstance(part, nn.Conv2d) for part in net.modules())
    assert "Mul" not in ops, "a batch norm is not folded"
    session = open_session(model.SerializeToString(), "cpu")
    for n_rows in (0, 1, 2, 37):
        rows = torch.randn(n_rows, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(n_rows))
        with torch.no_grad():
            expected = net({"image_x": rows}).numpy()
        (found,) = session.run(None, {"image_x": rows.numpy()})
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max(initial=0)))


class Shared(nn.Module):
    """A convolution whose result is read beside its batch norm, and one with groups that only a norm reads."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.grouped, self.last = nn.ConvTranspose2d(4, 6, 2, groups=2), nn.BatchNorm2d(6)

    def forward(self, x):
        found = self.conv(x)
        return self.last(self.grouped(found + self.norm(found))).mean(dim=(2, 3))


def test_a_convolution_that_something_else_reads_keeps_its_batch_norm():
    torch.manual_seed(0)
    net = trained(OfImages(Shared()))
    model = to_model(net)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Mul", "Add", "Add", "ConvTranspose", "ReduceMean"]
    rows = torch.randn(5, 3, SIDE, SIDE)
    (found,) = open_session(model.SerializeToString(), "cpu").run(None, {"image_x": rows.numpy()})
    np.testing.assert_allclose(found, net({"image_x": rows}).detach().numpy(), rtol=1e-5, atol=1e-5)
