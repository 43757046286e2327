"""Sparse maps: what defines them, the package pytorch_tabnet, gradients, lowering."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx.reference import ReferenceEvaluator
from pytorch_tabnet.sparsemax import entmax15 as their_entmax
from pytorch_tabnet.sparsemax import sparsemax as their_sparsemax
from torch import nn

from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.runtime import open_session
from onnxlearn_models.layers.sparse import SPARSE, SparseMap
from onnxlearn_models.lowering.lower import lower
from onnxlearn_models.lowering.trace import UnsupportedError

THEIRS = {"sparsemax": their_sparsemax, "entmax": their_entmax}


def odd_scores(width, n_rows=60):
    """Rows of different scale, with ties, all equal, and far apart."""
    rng = np.random.default_rng(width)
    scores = rng.normal(0, 1, (n_rows, width)) * 10.0 ** rng.uniform(-2, 1.5, (n_rows, 1))
    scores[:10] = scores[:10].round()
    scores[10] = 0
    scores[11, 0] += 1e4
    return torch.tensor(scores, dtype=torch.float32)


@pytest.mark.parametrize("name", SPARSE)
@settings(deadline=None, max_examples=80)
@given(scores=arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.floats(-20, 20, width=16)))
def test_shares_are_what_defines_them(name, scores):
    """They sum to 1, and a share is above 0 where the score is above the row's threshold, by how much it is."""
    shares = SparseMap(name, scores.shape[1]).double().eval()(torch.tensor(scores)).numpy()
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-9)
    above = shares if name == "sparsemax" else 2 * np.sqrt(shares)
    for row, share, height in zip(scores, shares, above, strict=True):
        thresholds = (row - height)[share > 0]
        np.testing.assert_allclose(thresholds, thresholds[0], atol=1e-7)
        assert (row[share == 0] <= thresholds[0] + 1e-7).all()


@pytest.mark.parametrize("width", [1, 2, 7, 50])
@pytest.mark.parametrize("name", SPARSE)
def test_same_as_the_package(name, width):
    sparse, scores = SparseMap(name, width), odd_scores(width)
    grad = torch.randn(scores.shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    found, expected = sparse(ours), THEIRS[name](theirs * 1.0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found.backward(grad)
    expected.backward(grad)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)
    assert torch.equal(sparse.eval()(scores), found)


@pytest.mark.parametrize("name", SPARSE)
def test_gradients_are_those_of_the_function(name):
    scores = odd_scores(6)[20:30].double().requires_grad_()
    assert torch.autograd.gradcheck(SparseMap(name, 6).double(), (scores,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("width", [1, 9])
@pytest.mark.parametrize("name", SPARSE)
def test_lowers_by_the_table(name, width, dtype):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = SparseMap(name, width)

        def forward(self, num):
            return self.map(num)

    net, onnx_type, scores = (
        Net().to(dtype).eval(),
        "FLOAT" if dtype == torch.float32 else "DOUBLE",
        odd_scores(width).to(dtype),
    )
    g = GraphBuilder()
    g.output(lower(g, net, {"num": g.input("num", onnx_type, ["N", width])}, {"num": scores}), "y", onnx_type, ["N", width])
    model = g.to_model()
    check(model)
    session = open_session(model.SerializeToString(), "cpu")
    for n_rows in (0, 1, len(scores)):
        rows = scores[:n_rows]
        np.testing.assert_allclose(session.run(None, {"num": rows.numpy()})[0], net(rows), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"num": scores.numpy()})[0], net(scores), atol=1e-6)


@pytest.mark.parametrize("largest", [True, False])
def test_topk_lowers_by_the_table(largest):
    class Net(nn.Module):
        def forward(self, num):
            values, places = torch.topk(num, 3, dim=-1, largest=largest)
            return values + places.float()

    scores = torch.randn(20, 8)
    g = GraphBuilder()
    g.output(lower(g, Net(), {"num": g.input("num", "FLOAT", ["N", 8])}, {"num": scores}), "y", "FLOAT", ["N", 3])
    session = open_session(g.to_model().SerializeToString(), "cpu")
    for n_rows in (0, 1, 20):
        np.testing.assert_allclose(session.run(None, {"num": scores[:n_rows].numpy()})[0], Net()(scores[:n_rows]))


def test_the_largest_over_the_batch_are_refused():
    class Net(nn.Module):
        def forward(self, num):
            return torch.topk(num, 1, dim=0)[0] + num

    g = GraphBuilder()
    with pytest.raises(UnsupportedError, match="the largest over the batch"):
        lower(g, Net(), {"num": g.input("num", "FLOAT", ["N", 8])}, {"num": torch.zeros(1, 8)})
