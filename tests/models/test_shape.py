"""Shapes of widths: published numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxlearn_models.layers.shape import SHAPES, shaped_dropouts, shaped_widths

# What Auto-PyTorch makes of 20 inputs, at most 128 units and 3 outputs: widths of the hidden layers before the output layer.
PUBLISHED = {
    "funnel": {2: [128], 3: [128, 66], 4: [128, 87, 46], 5: [128, 97, 66, 35], 7: [128, 108, 88, 68, 48, 28]},
    "long_funnel": {2: [128], 3: [128, 128], 4: [128, 128, 128], 5: [128, 128, 128, 66], 7: [128, 128, 128, 128, 87, 46]},
    "diamond": {2: [128], 3: [128, 66], 4: [74, 128, 66], 5: [74, 128, 87, 46], 7: [56, 92, 128, 97, 66, 35]},
    "hexagon": {2: [128], 4: [128, 128, 128], 6: [74, 128, 128, 128, 66], 7: [74, 128, 128, 128, 128, 66]},
    "brick": {2: [128], 3: [128, 128], 5: [128, 128, 128, 128]},
    "triangle": {2: [128], 3: [74, 128], 4: [56, 92, 128], 7: [38, 56, 74, 92, 110, 128]},
    "stairs": {2: [128], 3: [128, 128], 4: [128, 46, 46], 5: [128, 128, 66, 66], 6: [128, 78, 78, 28, 28]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_widths_of_auto_pytorch(shape):
    found = {n: shaped_widths(shape, n, 128, d_in=20, d_out=3)[:-1] for n in PUBLISHED[shape]}
    assert found == PUBLISHED[shape]


def test_widths_of_mlr3keras():
    assert [shaped_widths("funnel", n, 128, d_in=9, d_out=3) for n in (1, 2, 3, 4)] == [
        [128], [128, 3], [128, 66, 4], [128, 87, 46, 5],
    ]  # fmt: skip
    assert shaped_widths("funnel", 3, 128, d_in=9, d_out=1) == [128, 65, 2]


@given(st.sampled_from(sorted(SHAPES)), st.integers(1, 12), st.integers(1, 300), st.integers(1, 500), st.integers(1, 40))
def test_every_layer_has_units_and_none_more_than_allowed(shape, n_layers, n_max, d_in, d_out):
    widths = shaped_widths(shape, n_layers, n_max, d_in=d_in, d_out=d_out)
    assert len(widths) == n_layers
    assert min(widths) >= 1
    assert max(widths[:-1], default=n_max) == n_max


@pytest.mark.parametrize("shape", SHAPES)
def test_dropouts(shape):
    for n_layers in (1, 2, 5, 8):
        dropouts = shaped_dropouts(shape, n_layers, 0.4)
        assert len(dropouts) == n_layers
        assert max(dropouts) == 0.4
        assert min(dropouts) >= 0
    assert not any(shaped_dropouts(shape, 5, 0.0))
