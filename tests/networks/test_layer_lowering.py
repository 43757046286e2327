"""Every kind of layer is lowered by the table, to what torch gives, for any number of rows."""

import copy
import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from layer_cases import KINDS, SCHEMA, case

from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.guard import require_harmless
from onnxlearn.networks.layer import ShapeError
from onnxlearn.networks.layers import activation
from onnxlearn.networks.nn import LAYERS
from onnxlearn.networks.tensor import Tensor
from onnxlearn.runtime import open_session
from onnxlearn_models.graphs.modules import make_module
from onnxlearn_models.lowering.lower import lower

QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck))
# Their shapes matter less.
OF_EACH_NUMBER = [kind for kind in KINDS if LAYERS[kind].__module__ == activation.__name__]
TYPES = {"float32": "FLOAT", "int64": "INT64"}


class Columns(torch.nn.Module):
    """A layer that reads the tensors of columns."""

    def __init__(self, layer, n_inputs):
        super().__init__()
        self.layer, self.n_inputs = layer, n_inputs

    def forward(self, columns):
        return self.layer(*(columns[f"x{i}"] for i in range(self.n_inputs)))


def random_weights(module):
    """As after training: no weight is what it starts from, and norms have seen rows."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.5, generator=generator)
    return module.eval()


def rows(inputs, n_rows):
    rng = np.random.default_rng(n_rows)
    shapes = {f"x{i}": ((n_rows, *x.row), "ids" if x.source == "text_t" else x.dtype) for i, x in enumerate(inputs)}
    draws = {
        # Of few digits: norms amplify the rounding of numbers that are nearly equal.
        "float32": lambda shape: (rng.normal(0, 8, shape).round() / 4).astype(np.float32),
        # Codes of the columns of SCHEMA's ingress.
        "int64": lambda shape: rng.integers(0, [SCHEMA.ingress.cardinalities[i] for i in range(shape[1])], shape),
        # Words, and nothing behind them; the first text has none.
        "ids": lambda shape: (
            rng.integers(1, 9, shape)
            * (np.arange(shape[1]) < rng.integers(0, shape[1] + 1, (n_rows, 1)) * (np.arange(n_rows) > 0)[:, None])
        ),
    }
    return {name: draws[dtype](shape) for name, (shape, dtype) in shapes.items()}


def to_session(module, inputs, n_dims_out):
    g = GraphBuilder()
    types = {f"x{i}": (TYPES[x.dtype], ["N", *x.row]) for i, x in enumerate(inputs)}
    values = {name: g.input(name, *what) for name, what in types.items()}
    samples = {name: torch.from_numpy(array) for name, array in rows(inputs, 1).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = lower(g, module, values, samples)
    g.output(output, "y", "FLOAT", ["N", *(f"d{i}" for i in range(n_dims_out - 1))])
    model = g.to_model()
    check(model)
    require_harmless(model.SerializeToString())
    return open_session(model.SerializeToString(), "cpu")


def assert_parity(module, inputs, within=1e-5):
    """Against torch in float64: in float32 it amplifies its own rounding where it norms groups of one number."""
    double, session, expected = copy.deepcopy(module).double(), None, np.empty(0)
    for n_rows in (37, 2, 1, 0):
        feeds = rows(inputs, n_rows)
        tensors = {name: torch.from_numpy(array) for name, array in feeds.items()}
        with torch.no_grad(), warnings.catch_warnings():
            # Of windows that are padded on one side more than on the other.
            warnings.simplefilter("ignore")
            doubles = {name: x.double() if x.is_floating_point() else x for name, x in tensors.items()}
            # Without rows torch fails in attention with a mask.
            expected = double(doubles).numpy() if n_rows else expected[:0]
        session = session or to_session(module, inputs, expected.ndim)
        (found,) = session.run(None, feeds)
        assert found.shape == expected.shape
        scale = max(1.0, np.abs(expected[np.isfinite(expected)]).max(initial=0))
        # The maximum of a window of padding alone is -inf in torch, and the least number in ONNX Runtime.
        found, expected = (np.clip(each, np.finfo(np.float32).min, None) for each in (found, expected))
        np.testing.assert_allclose(found, expected, rtol=0, atol=within * scale)


def check_kind(kind, data):
    layer, drawn = data.draw(case(kind))
    inputs = tuple(Tensor((None, *x.row), x.dtype, x.source) for x in drawn)
    try:
        layer.tensor(inputs, SCHEMA)
    except ShapeError:
        return
    # Torch refuses a single row whose groups have one number.
    assume(kind != "group_norm" or math.prod(drawn[0].row) > layer.n_groups)
    assert_parity(random_weights(Columns(make_module(layer, inputs, SCHEMA), len(inputs))), inputs)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in OF_EACH_NUMBER])
@given(data=st.data())
@settings(QUIET, max_examples=8)
def test_layers_are_lowered_to_what_torch_gives(kind, data):
    check_kind(kind, data)


@pytest.mark.parametrize("kind", OF_EACH_NUMBER)
@given(data=st.data())
@settings(QUIET, max_examples=3)
def test_functions_of_each_number_are_lowered_to_what_torch_gives(kind, data):
    check_kind(kind, data)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers_end_where_a_text_does(kind, bidirectional):
    """What stands behind the end counts for nothing: the text alone gives the same states."""
    layer = LAYERS[kind](d_hidden=3, n_layers=2, bidirectional=bidirectional)
    inputs = (Tensor((5, 5, 4)), Tensor((5, 5), "int64", "text_t"))
    module = random_weights(make_module(layer, inputs, SCHEMA))
    x, ids = torch.randn(1, 5, 4), torch.tensor([[7, 2, 8, 0, 0]])
    states = module(x, ids)
    assert (states[:, 3:] == 0).all()
    torch.testing.assert_close(states[:, :3], module(x[:, :3], ids[:, :3]))
    last = make_module(dataclasses.replace(layer, last=True), inputs, SCHEMA).eval()
    last.packed = module.packed
    there, back = states[:, 2, :3], states[:, 0, 3:]
    torch.testing.assert_close(last(x, ids), torch.cat([there, back], dim=1) if bidirectional else there)


def test_what_is_causal_depends_on_no_later_position():
    x, ids = torch.randn(2, 4, 6), torch.tensor([[7, 2, 8, 5], [3, 0, 0, 0]])
    changed = x.clone()
    changed[:, 2:] += 1
    inputs = (Tensor((5, 4, 6)), Tensor((5, 4), "int64", "text_t"))
    for kind in ("multihead_attention", "transformer_encoder_layer"):
        module = random_weights(make_module(LAYERS[kind](n_heads=2, causal=True), inputs, SCHEMA))
        one, other = module(x, ids), module(changed, ids)
        assert torch.equal(one[:, :2], other[:, :2]), kind
        assert not torch.isclose(one[0, 2:], other[0, 2:]).any(), kind


def test_attention_of_three_tensors_is_that_of_torch():
    query, key, value = torch.randn(2, 3, 6), torch.randn(2, 5, 6), torch.randn(2, 5, 6)
    inputs = tuple(Tensor((5, *x.shape[1:])) for x in (query, key, value))
    module = random_weights(make_module(LAYERS["multihead_attention"](n_heads=2), inputs, SCHEMA))
    assert torch.equal(module(query, key, value), module.module(query, key, value, need_weights=False)[0])
