"""What tests of one network share: example ingresses and rows, lowering by the table, weights counted and copied."""

import numpy as np
import torch

from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.runtime import open_session
from onnxlearn.schema import Ingress
from onnxlearn_models.lowering.lower import lower

NUMBERS = Ingress(num_names=("a", "b", "c"), num_kinds=("number", "number", "flag"))
CODES = Ingress(cat_names=("d", "e"), cardinalities=(5, 22))
MIXED = Ingress(**{**vars(NUMBERS), "cat_names": CODES.cat_names, "cardinalities": CODES.cardinalities})


def rows(ingress, n_rows, seed=0, dtype=torch.float32):
    """Random ``num`` and ``cat`` of so many rows; those that there are."""
    rng = np.random.default_rng(seed)
    found = {}
    if ingress.n_num:
        found["num"] = torch.from_numpy(2 * rng.normal(size=(n_rows, ingress.n_num))).to(dtype)
    if ingress.n_cat:
        codes = [rng.integers(0, n, n_rows) for n in ingress.cardinalities]
        found["cat"] = torch.from_numpy(np.stack(codes, axis=1))
    return found


def warm(net, ingress, steps=5):
    """Give the running statistics of norms values, and the biases others than 0; the network in evaluation mode."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        net.train()
        for seed in range(steps):
            net(**rows(ingress, 64, seed))
    return net.eval()


def count(module):
    """Number of trainable numbers."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


TYPES = {torch.float32: "FLOAT", torch.float64: "DOUBLE"}


@torch.no_grad()
def assert_lowers(net, ingress, types=TYPES):
    """The table lowers the network, and ONNX Runtime gives what torch gives for 0, 1 and more rows, in both types."""
    for dtype, name in types.items():
        net.eval().to(dtype)
        g = GraphBuilder()
        inputs, samples = {}, rows(ingress, 1, dtype=dtype)
        if ingress.n_num:
            inputs["num"] = g.input("num", name, ["N", ingress.n_num])
        if ingress.n_cat:
            inputs["cat"] = g.input("cat", "INT64", ["N", ingress.n_cat])
        output = lower(g, net, inputs, samples)
        g.output(output, "y", name, ["N", *net(**samples).shape[1:]])
        model = g.to_model()
        check(model)
        session = open_session(model.SerializeToString(), "cpu")
        for n_rows in (0, 1, 37):
            feeds = rows(ingress, n_rows, 1, dtype)
            found = session.run(None, {key: tensor.numpy() for key, tensor in feeds.items()})[0]
            np.testing.assert_allclose(found, net(**feeds).numpy(), rtol=1e-5, atol=1e-5)
    net.float()
