"""Lowering: the table against torch, ONNX's reference implementation and torch's own exporter."""

# The table of networks reads best with one network a line.
# ruff: noqa: E501

import logging
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn
from torch.nn import functional

from onnxlearn.errors import ExportError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.runtime import open_session
from onnxlearn_models.lowering import export as exporting
from onnxlearn_models.lowering.export import export
from onnxlearn_models.lowering.lower import MAIN_OUTPUT, emit_outputs, lower
from onnxlearn_models.lowering.trace import UnsupportedError

N_NUM, CODES = 6, (5, 9)


class Net(nn.Module):
    """A network of one function of ``num`` (and ``cat``), with some weights to use."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(parts)
        self.weight = nn.Parameter(torch.randn(4, N_NUM))
        self.token = nn.Parameter(torch.randn(1, 1, 2))
        self.register_buffer("index", torch.tensor([4, 0, 2]))

    def forward(self, num=None, cat=None):
        return self.function(self, num, cat)


def emitted(g, module, inputs, samples):
    """By the table or else by torch's exporter, as a file gets it."""
    return emit_outputs(g, module, inputs, samples)[MAIN_OUTPUT].value


def to_model(how, net, *, with_cat=True):
    g = GraphBuilder()
    inputs = {"num": g.input("num", "FLOAT", ["N", N_NUM])}
    samples = {"num": torch.zeros(1, N_NUM)}
    if with_cat:
        inputs["cat"] = g.input("cat", "INT64", ["N", len(CODES)])
        samples["cat"] = torch.zeros(1, len(CODES), dtype=torch.int64)
    output = how(g, net.eval(), inputs, samples)
    with torch.no_grad():
        shape = net(**{name: sample.expand(2, -1) for name, sample in samples.items()}).shape
    g.output(output, "y", "FLOAT", ["N", *shape[1:]])
    return g.to_model()


def feeds(n_rows, with_cat=True, seed=0):
    rng = np.random.default_rng(seed)
    both = {
        "num": (3 * rng.normal(size=(n_rows, N_NUM))).astype(np.float32),
        "cat": np.stack([rng.integers(0, n, n_rows) for n in CODES], axis=1),
    }
    return both if with_cat else {"num": both["num"]}


def assert_same(net, model, *, with_cat=True, reference=True):
    check(model)
    session = open_session(model.SerializeToString(), "cpu")
    for n_rows in (1, 2, 37):
        rows = feeds(n_rows, with_cat)
        with torch.no_grad():
            expected = net(**{name: torch.from_numpy(array) for name, array in rows.items()}).numpy()
        assert expected.dtype == np.float32
        np.testing.assert_allclose(session.run(None, rows)[0], expected, rtol=1e-5, atol=2e-6)
        if reference:
            np.testing.assert_allclose(ReferenceEvaluator(model).run(None, rows)[0], expected, rtol=1e-5, atol=1e-5)
    assert len(session.run(None, feeds(0, with_cat))[0]) == 0


class NormAndMore(nn.BatchNorm1d):
    """As packages of others have it: a batch norm with an activation in it."""

    def forward(self, x):
        torch._assert(x.ndim == 2, "rows")
        normed = functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, self.eps
        )
        return torch.relu(normed)


def norm_and_more(width, **options):
    """One whose statistics and scale are not those that it begins with."""
    made, found = NormAndMore(width, **options), norm(width)
    made.load_state_dict({name: tensor for name, tensor in found.state_dict().items() if name in made.state_dict()})
    return made


def norm(n):
    """BatchNorm as it is after training."""
    part = nn.BatchNorm1d(n)
    nn.init.normal_(part.weight)
    nn.init.normal_(part.bias)
    part.running_mean.normal_()
    part.running_var.uniform_(0.5, 2)
    return part


def group(n_groups, n):
    """GroupNorm as it is after training."""
    part = nn.GroupNorm(n_groups, n)
    nn.init.normal_(part.weight)
    nn.init.normal_(part.bias)
    return part


def through(parts, x):
    for part in parts:
        x = part(x)
    return x


def chain(*parts):
    return lambda: Net(lambda self, num, cat: through(self.parts, num), *parts)


def of(function):
    return lambda: Net(lambda self, num, cat: function(self, num))


def gated(self, x):
    value, gate = x.chunk(2, dim=-1)
    return value * gate.sigmoid()


# The weights of the parts are drawn here; a norm of two numbers that are nearly equal would amplify any rounding.
torch.manual_seed(0)
ACTIVATIONS = [
    nn.ReLU(), nn.GELU(), nn.GELU(approximate="tanh"), nn.SELU(), nn.SiLU(), nn.Mish(), nn.Tanh(), nn.Sigmoid(), nn.ELU(0.7),
    nn.CELU(0.7), nn.LeakyReLU(0.2), nn.Softplus(), nn.Softplus(beta=2), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardtanh(-2, 3),
    nn.ReLU6(), nn.Softsign(), nn.LogSigmoid(), nn.PReLU(), nn.PReLU(N_NUM), nn.GLU(), nn.Softmax(dim=1), nn.LogSoftmax(dim=-1),
    nn.Identity(), nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.ReLU(inplace=True),
]  # fmt: skip

NETS = {
    "linear": chain(nn.Linear(N_NUM, 4), nn.Linear(4, 2, bias=False)),
    "norm folded": chain(nn.Linear(N_NUM, 4), norm(4), nn.ReLU(inplace=True), nn.Linear(4, 3, bias=False), norm(3)),
    "norm of others": chain(nn.Linear(N_NUM, 4), norm_and_more(4), nn.Linear(4, 3), norm_and_more(3, affine=False)),
    "norm alone": chain(norm(N_NUM), nn.ReLU(), nn.BatchNorm1d(N_NUM, affine=False)),
    "layer norm": chain(nn.LayerNorm(N_NUM), nn.Linear(N_NUM, 3), nn.LayerNorm(3, bias=False), nn.LayerNorm(3, elementwise_affine=False)),
    "rms norm": chain(nn.RMSNorm(N_NUM), nn.Linear(N_NUM, 3), nn.RMSNorm(3, elementwise_affine=False)),
    "group norm": chain(group(3, N_NUM), nn.Linear(N_NUM, 4), group(1, 4), nn.GroupNorm(2, 4, affine=False)),
    "group norm of many dimensions": lambda: Net(lambda self, x, cat: self.parts[0](x.reshape(-1, 2, 3, 1)).flatten(1), group(2, 2)),
    "group norm beside": lambda: Net(lambda self, x, cat: self.parts[0](torch.stack([x, -x], dim=2)).flatten(1), group(2, N_NUM)),
    "tokens as rows": lambda: Net(lambda self, x, cat: self.parts[0](x.reshape(-1, 2)).reshape(x.shape) * 2, norm(2)),
    "rows of tokens": of(lambda self, x: x.view(-1, 3, 2).flatten(0, 1).cumsum(1).unflatten(0, (-1, 3)).flatten(1)),
    "norm of three dimensions": of(lambda self, x: through(self.parts, x.reshape(-1, 3, 2)).flatten(1)),
    "arithmetic": of(lambda self, x: 2 - (x + 1) * x / (3 + x * x) + torch.add(x, x, alpha=0.5) - 2 * torch.sub(x, 1, alpha=2)),
    "powers": of(lambda self, x: x**2 + (x * x + 1) ** 0.5 + torch.rsqrt(x.square() + 1) + 2**x + x.abs().sqrt()),
    "waves": of(lambda self, x: torch.cat([torch.sin(x), torch.cos(2 * torch.pi * x), torch.exp(-x.abs()), torch.log(x.abs() + 1)], 1)),
    "weights": of(lambda self, x: x @ self.weight.T + torch.matmul(x, (self.weight * 2).transpose(0, 1)).relu()),
    "indices": of(lambda self, x: torch.cat([x[:, 1:4], x[:, -1:], x[:, ::2], x[..., self.index], x[:, 2][:, None]], dim=1)),
    "index select": of(lambda self, x: torch.index_select(x, 1, self.index)),
    "shapes": of(lambda self, x: x.reshape(x.shape[0], 2, 3).transpose(1, 2).permute(0, 2, 1).unsqueeze(-1).squeeze(-1).flatten(1)),
    "view": of(lambda self, x: x.view(x.size(0), 3, 2).unflatten(1, (3, 1)).flatten(start_dim=1)),
    "stack": of(lambda self, x: torch.stack([x, x + 1, -x], dim=1).sum(dim=1) + torch.stack([x, x], -1).mean(-1)),
    "reductions": of(lambda self, x: torch.cat([x.amax(1, keepdim=True), x.amin(1)[:, None], x.mean(dim=1, keepdim=True), x.cumsum(1)], 1)),
    "chunks": of(gated),
    "split": of(lambda self, x: torch.split(x, [1, 3, 2], dim=1)[1] * 2),
    "choices": of(lambda self, x: torch.where(x > 0.5, x, torch.zeros_like(self.weight[0])) + torch.clamp(x, -1, 1) + x.clamp(min=0)),
    "comparisons": of(lambda self, x: (x <= 1).float() + (x != 0).to(torch.float32) + torch.maximum(x, self.weight[0])),
    "einsum": of(lambda self, x: torch.einsum("np, kp -> nk", x, self.weight)),
    "token": of(lambda self, x: torch.cat([self.token.expand(x.shape[0], -1, -1), x.view(-1, 3, 2)], 1).flatten(1)),
    "attention": of(lambda self, x: (lambda t: functional.scaled_dot_product_attention(t, t * 2, t + 1).flatten(1))(x.view(-1, 1, 3, 2))),
    "three dimensions": of(lambda self, x: functional.linear(x[:, None, :].expand(-1, 2, -1), self.weight, self.weight[:, 0]).flatten(1)),
    "residual": lambda: Net(lambda self, x, cat: x + self.parts[1](self.parts[0](x)), nn.Linear(N_NUM, N_NUM), norm(N_NUM)),
    "norm beside": lambda: Net(
        lambda self, x, cat: (lambda h: h + self.parts[1](h))(self.parts[0](x)), nn.Linear(N_NUM, N_NUM), norm(N_NUM)
    ),
    "embeddings": lambda: Net(
        lambda self, num, cat: torch.cat([num, *(table(cat[:, i]) for i, table in enumerate(self.parts))], dim=1),
        *(nn.Embedding(n, 3) for n in CODES),
    ),
    "whole embedding": lambda: Net(lambda self, num, cat: self.parts[0](cat).flatten(1), nn.Embedding(9, 4, padding_idx=0)),
}  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations(activation):
    torch.manual_seed(0)
    net = chain(nn.Linear(N_NUM, N_NUM), activation)()
    assert_same(net, to_model(lower, net))


# A change in place of the input itself is left to torch's exporter.
ALSO_IN_DOUBLE = [a for a in ACTIVATIONS if not isinstance(a, nn.PReLU | nn.Hardswish) and not getattr(a, "inplace", False)]


@pytest.mark.parametrize("activation", [*ALSO_IN_DOUBLE, nn.LeakyReLU()], ids=str)
def test_activations_in_double(activation):
    """Attributes of operators are FLOAT: where DOUBLE is asked for, 0.01 has to be 0.01 all the same."""
    g, samples = GraphBuilder(), torch.zeros(1, N_NUM, dtype=torch.float64)
    module = chain(activation)().double().eval()
    g.output(lower(g, module, {"num": g.input("num", "DOUBLE", ["N", N_NUM])}, {"num": samples}), "y", "DOUBLE", ["N", "M"])
    rows = np.random.default_rng(0).normal(0, 3, (37, N_NUM))
    found = open_session(g.to_model().SerializeToString(), "cpu").run(None, {"num": rows})[0]
    # ONNX Runtime has no Erf in DOUBLE, and beyond 20 torch's Softplus leaves out the rest.
    within = 1e-6 if isinstance(activation, nn.GELU) else 1e-8 if isinstance(activation, nn.Softplus) else 1e-13
    np.testing.assert_allclose(found, module(torch.tensor(rows)).detach().numpy(), rtol=within, atol=within)


@pytest.mark.parametrize("name", NETS)
def test_table_agrees_with_torch(name):
    torch.manual_seed(0)
    net = NETS[name]()
    if name == "norm of three dimensions":
        net.parts.append(norm(3))
    # onnx.reference has no Split with a constant of sizes in an older operator set, and no empty Einsum.
    assert_same(net, to_model(lower, net))


@pytest.mark.parametrize("name", ["norm folded", "embeddings", "token", "attention", "indices"])
def test_exporter_agrees_with_torch_and_with_the_table(name, monkeypatch):
    monkeypatch.setattr(exporting, "_TEMPLATES", {})
    torch.manual_seed(0)
    net = NETS[name]()
    model = to_model(export, net)
    assert_same(net, model, reference=False)
    ours, theirs = (open_session(m.SerializeToString(), "cpu").run(None, feeds(37))[0] for m in (to_model(lower, net), model))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-6)


def test_an_absent_ingress_is_none():
    net = Net(lambda self, num, cat: num if cat is None else num + cat.sum(1, keepdim=True))
    assert_same(net, to_model(lower, net, with_cat=False), with_cat=False)


class Unusual(Net):
    """A network that the table cannot lower."""

    def __init__(self, factor=1.0, *, silent=False):
        super().__init__(None, nn.Linear(N_NUM, 4))
        self.factor = factor

    def forward(self, num=None, cat=None):
        return self.factor * torch.sort(self.parts[0](num), dim=1).values + cat[:, :1]


def test_the_exporter_takes_over_and_is_kept_by_architecture(monkeypatch, capfd, caplog):
    monkeypatch.setattr(exporting, "_TEMPLATES", {})
    calls = []
    export_once = exporting._export
    monkeypatch.setattr(exporting, "_export", lambda *args: calls.append(1) or export_once(*args))
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        for seed in range(3):
            torch.manual_seed(seed)
            net = Unusual()
            assert_same(net, to_model(emitted, net), reference=False)
    assert len(calls) == 1
    # The same shapes, but another network: its factor is no weight.
    other = Unusual(factor=2.0)
    assert_same(other, to_model(emitted, other), reference=False)
    assert len(calls) == 2
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_exported_files_tell_nothing_of_where_they_were_made(monkeypatch):
    monkeypatch.setattr(exporting, "_TEMPLATES", {})
    assert __file__.encode() not in to_model(export, Unusual()).SerializeToString()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda self, x: torch.sort(x).values, "no lowering for .*sort"),
        (lambda self, x: x[1:], "slicing the batch"),
        (lambda self, x: x / x.shape[0], "arithmetic with the number of rows"),
        (lambda self, x: x - x.mean(), "a reduction over the batch"),
        (lambda self, x: x if x.sum() > 0 else -x, "torch.fx cannot trace it"),
        (lambda self, x: functional.relu(x, inplace=True) + x, "relu.* in place"),
        (lambda self, x: x.view(-1, 3, 2)[:, self.index[1:2], self.index[1:2]], "this way of indexing"),
        (lambda self, x: x.to(torch.float16).float(), "the type torch.float16"),
    ],
)  # fmt: skip
def test_what_the_table_refuses(function, message):
    g = GraphBuilder()
    x = g.input("num", "FLOAT", ["N", N_NUM])
    with pytest.raises(UnsupportedError, match=message):
        lower(g, of(function)().eval(), {"num": x}, {"num": torch.zeros(1, N_NUM)})
    assert not g.to_model().graph.node


def test_a_network_that_cannot_be_exported_at_all():
    net = of(lambda self, x: x if float(x.sum()) > 0 else -x)().eval()
    with pytest.raises(ExportError, match=r"torch\.onnx cannot export Net: "):
        to_model(emitted, net)


def test_norms_are_folded_away():
    torch.manual_seed(0)
    assert [node.op_type for node in to_model(lower, NETS["norm folded"]()).graph.node] == ["Gemm", "Relu", "Gemm"]


def test_weights_keep_their_names():
    model = to_model(lower, NETS["linear"]())
    assert [tensor.name.rsplit("_", 1)[0] for tensor in model.graph.initializer] == [
        "net/parts.0.weight", "net/parts.0.bias", "net/parts.1.weight",
    ]  # fmt: skip


def test_same_network_same_bytes():
    torch.manual_seed(0)
    net = NETS["embeddings"]()
    first, second = (to_model(lower, net).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert onnx.load_from_string(first).ir_version == 8
