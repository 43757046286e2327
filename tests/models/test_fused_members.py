"""The fused training step of members against autograd."""

import pytest
import torch
from torch.nn import functional

from onnxlearn_models.layers import fused_members
from onnxlearn_models.layers.fused_members import Workspace, train_members
from onnxlearn_models.layers.members import HiddenLayer, MemberLinear

N, K, D_IN, D = 37, 4, 5, 7


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    """Several parts, the last one shorter."""
    monkeypatch.setattr(fused_members, "CACHED", 10 * K * D)


def weights(*shape):
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def make_layers(sharing, *, positive):
    """Three layers; scalings of either sign, or positive ones, which take another way."""
    shapes = [(D, D_IN), (D, D), (D, D)]
    if sharing == "mini":
        return [HiddenLayer(weights(*shape), weights(D)) for shape in shapes]
    after = [torch.randn(K, D, dtype=torch.float64) for _ in range(2)]
    after = [*(r.abs().requires_grad_() if positive else r.requires_grad_() for r in after), None]
    return [HiddenLayer(weights(*shape), weights(K, D), weights(K, D), r) for shape, r in zip(shapes, after, strict=True)]


def plainly(x, start, layers, head, masks=None, share=0.0):
    """The same, one operation after the other. ``masks``: by layer what dropout keeps."""
    x = x * start
    for i, layer in enumerate(layers):
        x = functional.linear(x, layer.weight)
        x = torch.relu((x if layer.scale is None else x * layer.scale) + layer.bias)
        if masks is not None:
            x = x * masks[i] / (1 - share)
        x = x if layer.after is None else x * layer.after
    return head(x)


def assert_equal(x, start, layers, head, workspace=None, share=0.0, masks=None):
    output = train_members(x, start, layers, head, share, workspace or Workspace())
    parameters = [x, start, *head.parameters(), *(tensor for layer in layers for tensor in layer if tensor is not None)]
    direction = torch.randn_like(output)
    found = torch.autograd.grad((output * direction).sum(), parameters)
    expected = plainly(x, start, layers, head, masks() if masks else None, share)
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-9)
    for ours, wanted in zip(found, torch.autograd.grad((expected * direction).sum(), parameters), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shared_rows", [False, True], ids=["rows of their own", "shared rows"])
@pytest.mark.parametrize(("sharing", "positive"), [("mini", True), ("batch", True), ("batch", False)])
def test_outputs_and_gradients_are_those_of_autograd(sharing, positive, shared_rows):
    torch.manual_seed(0)
    head = MemberLinear(K, D, 3).double()
    x = weights(N, 1 if shared_rows else K, D_IN)
    assert_equal(x, weights(K, D_IN), make_layers(sharing, positive=positive), head)


class Recorder(Workspace):
    """Keeps the bounds of units that were drawn, layer after layer."""

    def __init__(self, n_layers):
        super().__init__()
        self.n_layers, self.drawn = n_layers, []

    def bounds(self, share, like):
        self.drawn.append(super().bounds(share, like))
        return self.drawn[-1]

    def masks(self):
        return [torch.cat(self.drawn[i :: self.n_layers]).isinf() for i in range(self.n_layers)]


@pytest.mark.parametrize(("sharing", "positive"), [("mini", True), ("batch", True), ("batch", False)])
def test_dropout_takes_units_out_of_both_directions(sharing, positive):
    torch.manual_seed(1)
    workspace, head = Recorder(3), MemberLinear(K, D, 2).double()
    x, start, layers = weights(N, K, D_IN), weights(K, D_IN), make_layers(sharing, positive=positive)
    assert_equal(x, start, layers, head, workspace, 0.3, workspace.masks)
    masks = torch.stack(workspace.masks())
    assert masks.shape == (3, N, K, D)
    assert 0.2 < 1 - masks.double().mean() < 0.4
    # Members, layers and steps draw their own.
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0, :, 0], masks[0, :, 1])
    workspace.drawn.clear()
    train_members(x, start, layers, head, 0.3, workspace)
    assert not torch.equal(masks, torch.stack(workspace.masks()))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_of_units_that_is_dropped(share):
    torch.manual_seed(0)
    workspace = Workspace()
    for wanted in (share, share / 2):
        bounds = workspace.bounds(wanted, torch.empty(1000, 1000))
        assert set(bounds.unique().tolist()) == {0.0, torch.inf}
        assert (bounds == 0).float().mean() == pytest.approx(wanted, abs=0.005)
    # More than there are random numbers.
    assert workspace.bounds(share, torch.empty(2000, 1500)).shape == (2000, 1500)


def test_memory_is_used_again():
    workspace, head = Workspace(), MemberLinear(K, D, 2).double()
    start, layers = weights(K, D_IN), make_layers("batch", positive=False)
    assert_equal(weights(N, K, D_IN), start, layers, head, workspace)
    held = {name: tensor.data_ptr() for name, tensor in workspace._tensors.items()}
    for n_rows in (N, N - 11, 1):
        assert_equal(weights(n_rows, K, D_IN), start, layers, head, workspace)
    assert {name: tensor.data_ptr() for name, tensor in workspace._tensors.items()} == held
    assert_equal(weights(2 * N, K, D_IN), start, layers, head, workspace)


def test_gradients_of_a_step_whose_memory_is_gone():
    workspace, head = Workspace(), MemberLinear(K, D, 2).double()
    x, start, layers = weights(N, K, D_IN), weights(K, D_IN), make_layers("batch", positive=False)
    first = train_members(x, start, layers, head, 0.0, workspace)
    train_members(x, start, layers, head, 0.0, workspace)
    with pytest.raises(AssertionError, match="the memory of this step was used by a later one"):
        first.sum().backward()


def test_inputs_that_need_no_gradient():
    head, start, layers = MemberLinear(K, D, 2).double(), weights(K, D_IN), make_layers("mini", positive=True)
    x = torch.randn(N, K, D_IN, dtype=torch.float64)
    train_members(x, start, layers, head, 0.0, Workspace()).sum().backward()
    assert x.grad is None
    assert start.grad is not None
