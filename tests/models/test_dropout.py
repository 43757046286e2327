"""The cheap dropout against torch's own."""

import pytest
import torch
from torch import nn

from onnxlearn.registry import learner, learner_infos
from onnxlearn.testing import example_tasks
from onnxlearn_models.layers.dropout import Dropout


@pytest.mark.parametrize("share", [1e-3, 0.15, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(100, 41), (7,), (3, 5, 11), (0, 4)])
def test_share_and_scale(share, shape):
    torch.manual_seed(0)
    part, ones = Dropout(share).train(), torch.ones(shape)
    outputs = torch.stack([part(ones) for _ in range(200)])
    assert outputs.shape == (200, *shape)
    for output in outputs:
        kept = output[output != 0]
        # One value, by which the mean stays, near what the share asks for.
        torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share) if share < 1 else 1), rtol=0.05, atol=0)
        assert len(kept.unique()) <= 1
    if outputs.numel() > 100_000:
        kept = outputs != 0
        assert float(kept.double().mean()) == pytest.approx(1 - share, abs=0.002)
        assert float(outputs.double().mean()) == pytest.approx(float(share < 1), abs=0.005)
        # Elements that share a random number are dropped independently.
        both = (kept[..., :-1] & kept[..., 1:]).double().mean()
        assert float(both) == pytest.approx((1 - share) ** 2, abs=0.003)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_pass_where_values_pass(dtype):
    x = torch.ones(50, 8, dtype=dtype, requires_grad=True)
    output = Dropout(0.3).train()(x)
    output.sum().backward()
    assert output.dtype == dtype
    torch.testing.assert_close(x.grad, output.detach())


def test_nothing_happens_in_evaluation_and_without_a_share():
    x = torch.randn(5, 3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_it_is_a_dropout_for_whoever_sets_its_share():
    part = Dropout(0.5).train()
    assert isinstance(part, nn.Dropout)
    part.p = 0.0
    assert part(x := torch.ones(3)) is x


def test_the_seed_decides():
    part, x = Dropout(0.5).train(), torch.ones(100)
    torch.manual_seed(3)
    first = part(x)
    torch.manual_seed(3)
    assert torch.equal(first, part(x))
    assert not torch.equal(first, part(x))


# Those whose network is another learner's, or the user's own.
OTHERS = ("auto", "bagging", "ensemble", "featureless", "graph", "module")


@pytest.mark.parametrize(
    "name", sorted(name for name, info in learner_infos().items() if name not in OTHERS and info.needs_kind is None)
)
def test_every_learner_drops_by_it(name):
    shares = {p.name: 0.2 for p in learner(name).params if p.name.endswith(("dropout", "dropout1"))}
    for more in ({}, {"sharing": "packed"}) if name == "tabm" else ({},):
        network = learner(name, **shares, **more).untrained(example_tasks(60)["classes"])
        kinds = [type(part) for part in network.modules() if isinstance(part, nn.Dropout)]
        assert len(kinds) >= bool(shares)
        assert set(kinds) <= {Dropout}


@pytest.mark.parametrize("name", ["mlp", "entity_mlp", "deep_wide", "shaped_mlp", "shaped_resnet", "tabm"])
def test_it_fades_and_leaves_no_trace_in_the_file(name):
    task = example_tasks(90)["classes"]
    options = {"dropout": 0.5, "max_epochs": 4, "validation": None, "patience": None, "device": "cpu", "ema": 0.0}
    options |= {"sharing": "packed", "n_members": 2, "d_block": 8, "batch_size": 32} if name == "tabm" else {}
    models = [learner(name, **options, dropout_schedule=how).fit(task, progress=False) for how in ("constant", "fade")]
    assert all(model.metadata["parity"]["max_difference"] <= 2e-5 for model in models)
    losses = [model.history["train_loss"].to_numpy() for model in models]
    # The first half is the same; in the second it drops fewer and fewer.
    assert (losses[0][:2] == losses[1][:2]).all()
    assert (losses[0][2:] != losses[1][2:]).all()
