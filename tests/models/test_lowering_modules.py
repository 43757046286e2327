"""Modules and functions of torch over images and sequences: the lowering table against torch, for any number of rows."""

import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from onnxlearn.errors import ExportError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.guard import require_harmless
from onnxlearn.runtime import open_session
from onnxlearn_models.lowering.lower import lower
from onnxlearn_models.lowering.trace import UnsupportedError

LINE, IMAGE, VOLUME, TOKENS = (4, 9), (4, 7, 9), (2, 5, 6, 4), (5, 8)


class Apply(nn.Module):
    """A function of ``x`` and some modules."""

    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x):
        return self.function(x, *self.parts)


def of(function, *parts):
    return lambda: Apply(function, *(part() for part in parts))


def built(net, row, dtype=torch.float32):
    g = GraphBuilder()
    name = {torch.float32: "FLOAT", torch.int64: "INT64", torch.float64: "DOUBLE"}[dtype]
    x = g.input("x", name, ["N", *row])
    sample = torch.zeros(1, *row, dtype=dtype)
    with warnings.catch_warnings():
        # Of windows that are padded on one side more than on the other.
        warnings.simplefilter("ignore")
        output = lower(g, net, {"x": x}, {"x": sample})
        shape = net(sample).shape[1:]
    g.output(output, "y", "DOUBLE" if dtype == torch.float64 else "FLOAT", ["N", *shape])
    model = g.to_model()
    check(model)
    require_harmless(model.SerializeToString())
    return model


def randomised(net):
    """With weights and statistics as after training."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in net.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.5, generator=generator)
    return net.eval()


def assert_same(net, rows_of, within=1e-5):
    net = randomised(net)
    first = rows_of(1)
    session = open_session(built(net, first.shape[1:], first.dtype).SerializeToString(), "cpu")
    # Of no rows torch itself cannot do all.
    (nothing,) = session.run(None, {"x": rows_of(0).numpy()})
    assert nothing.shape == (0, *net(first).shape[1:])
    for n_rows in (37, 2, 1):
        rows = rows_of(n_rows)
        with torch.no_grad():
            expected = net(rows).numpy()
        (found,) = session.run(None, {"x": rows.numpy()})
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=0, atol=within * max(1.0, np.abs(expected).max(initial=0)))


def numbers(*row):
    return lambda n_rows: torch.randn(n_rows, *row, generator=torch.Generator().manual_seed(n_rows))


# The mask of the second position of each row is there for every one; a row of it alone has no share anywhere.
MASK = torch.tensor([[True, False, False, True, False]] * 5)
CASES = {
    "convolution, same, by its name": (LINE, lambda: nn.Conv1d(4, 6, 4, padding="same", dilation=2)),
    "convolution, valid": (IMAGE, lambda: nn.Conv2d(4, 6, 3, padding="valid", groups=2)),
    **{
        f"convolution, {mode}": (row, lambda mode=mode, conv=conv, row=row: conv(row[0], 3, 3, padding=2, padding_mode=mode))
        for mode in ("reflect", "replicate", "circular")
        for row, conv in ((LINE, nn.Conv1d), (IMAGE, nn.Conv2d), (VOLUME, nn.Conv3d))
    },
    "transposed, more behind than a step": (IMAGE, lambda: nn.ConvTranspose2d(4, 2, 2, dilation=3, output_padding=2)),
    "mean pooling with a divisor": (IMAGE, lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=5)),
    "power pooling of a line": (LINE, lambda: nn.LPPool1d(2, 3, ceil_mode=True)),
    "power pooling of an image": (IMAGE, lambda: nn.LPPool2d(4, (2, 3), stride=2)),
    "power pooling of a volume": (VOLUME, lambda: nn.LPPool3d(2, 2)),
    "adaptive means of unequal parts": (IMAGE, lambda: nn.AdaptiveAvgPool2d((3, 4))),
    "adaptive means along one dimension": (VOLUME, lambda: nn.AdaptiveAvgPool3d((None, 4, 2))),
    "adaptive maxima of unequal parts": (IMAGE, lambda: nn.AdaptiveMaxPool2d((3, 4))),
    "adaptive maxima": (IMAGE, lambda: nn.AdaptiveMaxPool2d((1, 3))),
    "adaptive maxima of a line": (LINE, lambda: nn.AdaptiveMaxPool1d(3)),
    "adaptive maxima of a volume": (VOLUME, lambda: nn.AdaptiveMaxPool3d((5, 3, 2))),
    "padding by a number": (IMAGE, of(lambda x: functional.pad(x, (1, 2, 0, 3, 1, 0), value=-1.5))),
    "padding that takes away": (IMAGE, of(lambda x: functional.pad(x, (-1, 2, -2, -1)))),
    "padding by reflection": (IMAGE, lambda: nn.ReflectionPad2d((1, 2, 3, 0))),
    "padding by the border": (VOLUME, lambda: nn.ReplicationPad3d((1, 2, 3, 0, 1, 1))),
    "circular padding": (IMAGE, of(lambda x: functional.pad(x, (0, 3, 7, 1), mode="circular"))),
    **{
        f"{mode}, corners {'aligned' if aligned else 'free'}": (
            row,
            of(
                lambda x, mode=mode, aligned=aligned: functional.interpolate(
                    x, scale_factor=2.5, mode=mode, align_corners=aligned
                )
            ),
        )
        for row, mode in ((LINE, "linear"), (IMAGE, "bilinear"), (IMAGE, "bicubic"), (VOLUME, "trilinear"))
        for aligned in (False, True)
    },
    **{
        f"{mode} from {row} to {size}": (row, of(lambda x, mode=mode, size=size: functional.interpolate(x, size, mode=mode)))
        for row, mode, size in (
            (LINE, "nearest", 21), ((1, 28), "nearest", 2), ((1, 14), "nearest-exact", 46), (LINE, "nearest-exact", 18),
            (IMAGE, "nearest", (3, 20)), (VOLUME, "nearest", (7, 3, 9)), (IMAGE, "bilinear", (4, 23)),
            (IMAGE, "bicubic", (15, 5)),
        )
    },
    "copies by a broken factor": (IMAGE, of(lambda x: functional.interpolate(x, scale_factor=(2.2, 1.9)))),
    "smaller, with antialias": (IMAGE, of(lambda x: functional.interpolate(x, (4, 3), mode="bilinear", antialias=True))),
    "cubic, smaller, with antialias": (IMAGE, of(lambda x: functional.interpolate(x, (4, 3), mode="bicubic", antialias=True))),
    "upsampling to a size": (IMAGE, lambda: nn.Upsample(size=(11, 4), mode="bilinear")),
    "by a factor that is computed again": (
        LINE, of(lambda x: functional.interpolate(x, scale_factor=1.7, mode="linear", recompute_scale_factor=True)),
    ),
    "instance norm": (IMAGE, lambda: nn.InstanceNorm2d(4, affine=True)),
    "instance norm without weights": (LINE, lambda: nn.InstanceNorm1d(4)),
    "instance norm with statistics": (VOLUME, lambda: nn.InstanceNorm3d(2, track_running_stats=True)),
    "local response norm": (IMAGE, lambda: nn.LocalResponseNorm(3, alpha=0.5, beta=0.6, k=2.0)),
    "local response norm over an even number": (VOLUME, lambda: nn.LocalResponseNorm(2)),
    "rms norm over an image": (IMAGE, lambda: nn.RMSNorm([7, 9])),
    "group norm of an image": (IMAGE, lambda: nn.GroupNorm(2, 4)),
    "folded transposed convolution in groups": (
        IMAGE, lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6)),
    ),
    "folded convolution with padding by reflection": (
        IMAGE, lambda: nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(6, affine=False)),
    ),
    "folded, with arguments by name": (
        IMAGE,
        of(
            lambda x, conv, norm: norm(input=functional.conv2d(x, weight=conv.weight, bias=None, padding=1, groups=2)),
            lambda: nn.Conv2d(4, 6, 3, groups=2),
            lambda: nn.BatchNorm2d(6),
        ),
    ),
    "all arguments by name": (
        IMAGE,
        of(
            lambda x, conv, norm: norm(functional.conv2d(input=x, weight=conv.weight)),
            lambda: nn.Conv2d(4, 6, 3),
            lambda: nn.BatchNorm2d(6),
        ),
    ),
    "instance norm of other channels": (LINE, lambda: nn.InstanceNorm1d(3)),
    "recurrent, positions first": (
        TOKENS, of(lambda x, rnn: rnn(x.transpose(0, 1))[0].transpose(0, 1), lambda: nn.RNN(8, 3, 2, nonlinearity="relu")),
    ),
    "last states of an lstm": (
        TOKENS,
        of(
            lambda x, rnn: torch.cat(rnn(x)[1]).permute(1, 0, 2),
            lambda: nn.LSTM(8, 3, 2, batch_first=True, bidirectional=True),
        ),
    ),
    "last states of a gru": (
        TOKENS, of(lambda x, rnn: rnn(x)[1].transpose(0, 1), lambda: nn.GRU(8, 3, batch_first=True, bias=False)),
    ),
    "attention with weights": (
        TOKENS, of(lambda x, heads: torch.cat(heads(x, x, x), dim=2), lambda: nn.MultiheadAttention(8, 2, batch_first=True)),
    ),
    "attention, positions first, each head's weights": (
        TOKENS,
        of(
            lambda x, heads: heads(*[x.transpose(0, 1)] * 3, average_attn_weights=False)[1],
            lambda: nn.MultiheadAttention(8, 2, bias=False),
        ),
    ),
    "attention with a mask": (
        TOKENS,
        of(
            lambda x, heads: heads(x, x, x, attn_mask=MASK, need_weights=False)[0],
            lambda: nn.MultiheadAttention(8, 4, batch_first=True),
        ),
    ),
    "attention to other features": (
        TOKENS,
        of(
            lambda x, heads: heads(x, x[:, :3, :6], x[:, 1:4, 2:6], need_weights=False)[0],
            lambda: nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True),
        ),
    ),
    "causal attention": (TOKENS, of(lambda x: functional.scaled_dot_product_attention(x, x, x, is_causal=True))),
    "attention with an added mask": (
        TOKENS, of(lambda x: functional.scaled_dot_product_attention(x, x, x, attn_mask=torch.arange(25.0).view(5, 5) / 10)),
    ),
    "encoder layer, gelu": (
        TOKENS, lambda: nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True, norm_first=True),
    ),
    "encoder layer, positions first": (
        TOKENS, of(lambda x, layer: layer(x.transpose(0, 1)).transpose(0, 1), lambda: nn.TransformerEncoderLayer(8, 2, 16)),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:input's size at dim=. does not match")
@pytest.mark.parametrize("name", CASES)
def test_modules(name):
    row, make = CASES[name]
    torch.manual_seed(0)
    net = make()
    if not isinstance(net, Apply):
        net = Apply(lambda x, part: part(x), net)
    assert_same(net, numbers(*row))


ACTIVATIONS = [
    nn.Softplus(beta=3, threshold=0.5), nn.Softplus(beta=0.5, threshold=-1), nn.RReLU(0.1, 0.5), nn.Hardshrink(0.7),
    nn.Softshrink(0.3), nn.Tanhshrink(), nn.Threshold(0.2, -3.0), nn.Hardswish(), nn.PReLU(4), nn.LeakyReLU(-0.3),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_activations_with_settings(activation, dtype):
    rows = numbers(*IMAGE)
    within = 1e-5 if dtype == torch.float32 else 1e-12
    assert_same(Apply(lambda x, part: part(x), activation).to(dtype), lambda n_rows: rows(n_rows).to(dtype), within)


def test_adaptive_means_in_double():
    rows = numbers(*IMAGE)
    net = Apply(lambda x, part: part(x), nn.AdaptiveAvgPool2d((3, 2))).double()
    assert_same(net, lambda n_rows: rows(n_rows).double(), 1e-14)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 3])
def test_bags_of_embeddings(mode, padding):
    def bags(n_rows):
        codes = torch.randint(0, 6, (n_rows, 4), generator=torch.Generator().manual_seed(n_rows))
        # A bag of padding alone.
        codes[:1] = 3
        return codes

    bag = nn.EmbeddingBag(6, 5, mode=mode, padding_idx=padding)
    assert_same(Apply(lambda x, part: part(x), bag), bags)


def test_weighted_bags_of_embeddings():
    def codes(n_rows):
        return torch.randint(0, 6, (n_rows, 4), generator=torch.Generator().manual_seed(n_rows))

    bag = nn.EmbeddingBag(6, 5, mode="sum")
    assert_same(Apply(lambda x, part: part(x, per_sample_weights=x * 0.5), bag), codes)


REFUSED = [
    (lambda x: functional.max_pool2d(x, 2, return_indices=True)[1], "max_pool2d"),
    (lambda x: functional.interpolate(x, scale_factor=2, mode="area"), "interpolation 'area'"),
    (lambda x: functional.pad(x, (0, 0, 0, 0, 0, 0, 1, 0)), "padding over the batch"),
    (lambda x: functional.rrelu(x, training=True), "rrelu in training mode"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED)
def test_what_the_table_refuses(function, message):
    with pytest.raises(UnsupportedError, match=message):
        built(Apply(function).eval(), IMAGE)


OF_TOKENS = {
    "an instance norm without rows": (lambda x, part: part(x.flatten(1)), nn.InstanceNorm1d(4)),
    "attention with a mask of rows": (
        lambda x, part: part(x, x, x, attn_mask=torch.stack([x[:, :, :5] > 9] * 2, 1).flatten(0, 1))[0],
        nn.MultiheadAttention(8, 2, batch_first=True),
    ),
    "attention with numbers added to padded keys": (
        lambda x, part: part(x, x, x, key_padding_mask=x[:, :, 0])[0], nn.MultiheadAttention(8, 2, batch_first=True),
    ),
    "attention over the batch": (lambda x, part: part(x, x, x)[0], nn.MultiheadAttention(8, 2)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:input's size at dim=. does not match")
@pytest.mark.parametrize("message", OF_TOKENS)
def test_modules_that_the_table_refuses(message):
    function, part = OF_TOKENS[message]
    with pytest.raises(UnsupportedError, match=message):
        built(Apply(function, part).eval(), TOKENS)


RECURRENT = {
    "a first state": lambda x, rnn: rnn(x, (torch.zeros(1, 1, 3), torch.zeros(1, 1, 3)))[0],
    "without rows": lambda x, rnn: rnn(x.flatten(0, 1))[0],
}


@pytest.mark.parametrize("what", RECURRENT)
def test_recurrent_modules_that_the_table_refuses(what):
    with pytest.raises(UnsupportedError):
        built(Apply(RECURRENT[what], nn.LSTM(8, 3, batch_first=True)).eval(), TOKENS)


@pytest.mark.parametrize(
    ("row", "part"),
    [
        (IMAGE, nn.Conv2d(4, 2, 3)),
        (IMAGE, nn.AvgPool2d(2)),
        (IMAGE, nn.Upsample(scale_factor=2)),
        (TOKENS, nn.GRU(8, 2, batch_first=True)),
    ],
)
def test_what_is_computed_in_float_alone_is_refused_in_double(row, part):
    net = Apply(lambda x, part: part(x), part).double().eval()
    with pytest.raises(ExportError, match="FLOAT alone, not in DOUBLE"):
        built(net, row, torch.float64)


def test_what_is_not_read_is_not_in_the_file():
    recurrent = Apply(lambda x, rnn: rnn(x)[0], nn.LSTM(8, 3, 2, batch_first=True)).eval()
    ops = Counter(node.op_type for node in built(recurrent, TOKENS).graph.node)
    assert (ops["LSTM"], ops["Concat"]) == (2, 1)
    heads = Apply(lambda x, heads: heads(x, x, x)[0], nn.MultiheadAttention(8, 2, batch_first=True)).eval()
    assert "ReduceMean" not in [node.op_type for node in built(heads, TOKENS).graph.node]
