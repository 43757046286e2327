"""What is inferred of a layer is what torch gives, whatever is known of the sizes."""

import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_cases import KINDS, SCHEMA, case

from onnxlearn.networks.layer import ShapeError
from onnxlearn_models.graphs.modules import MODULES, make_module

QUIET = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def run(layer, inputs):
    """The shape that torch gives, or None where it can give nothing."""
    torch.manual_seed(0)
    made = [torch.zeros(x.shape, dtype=torch.int64 if x.dtype == "int64" else torch.float32) for x in inputs]
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Of windows that are padded on one side more than on the other.
            warnings.simplefilter("ignore")
            found = tuple(make_module(layer, inputs, SCHEMA).eval()(*made).shape)
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return None
    # Nothing at all, which torch allows here and there, is nothing to go on with.
    return None if 0 in found else found


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@QUIET
def test_inferred_is_observed(kind, data):
    layer, inputs = data.draw(case(kind))
    try:
        inferred = layer.tensor(inputs, SCHEMA)
    except ShapeError:
        assert run(layer, inputs) is None, "refused, and torch can"
        return
    observed = run(layer, inputs)
    assert observed is not None, "torch cannot, and it is not refused"
    assert inferred.shape == observed
    # What is not known of the sizes is not known of the result, and nothing else.
    hidden = tuple(replace(x, shape=(None, *(None if data.draw(st.booleans()) else size for size in x.row))) for x in inputs)
    try:
        partly = layer.tensor(hidden, SCHEMA)
    except ShapeError:
        assert any(None in x.row for x in hidden)
        return
    assert len(partly.shape) == len(observed)
    assert partly.shape[0] is None
    assert all(size in (None, real) for size, real in zip(partly.row, observed[1:], strict=True))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@QUIET
def test_with_all_sizes_of_rows_known_so_are_those_that_come_out(kind, data):
    layer, inputs = data.draw(case(kind))
    batch = tuple(replace(x, shape=(None, *x.row)) for x in inputs)
    try:
        found = layer.tensor(batch, SCHEMA)
    except ShapeError:
        return
    assert found.shape[0] is None
    assert None not in found.row


def test_every_kind_of_layer_has_a_module():
    assert set(KINDS) | {"fn"} == set(MODULES)  # a shared node has that of the node
