"""The torch module of each kind of layer, made for the tensors that come in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from onnxlearn.networks.layer import Layer
from onnxlearn.networks.tensor import Tensor
from onnxlearn.schema import Schema
from onnxlearn_models.ft_transformer import Block, FTTransformerConfig
from onnxlearn_models.graphs.plain import (
    Attention,
    Called,
    ClassToken,
    Concat,
    EncoderLayer,
    Function,
    Merge,
    NumberTokens,
    PositionVectors,
    Recurrent,
    Reshape,
    Take,
    TextRecurrent,
    WordMean,
    later,
)
from onnxlearn_models.layers.activation import GATED
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.embedding import CodeEmbedding, TokenEmbedding
from onnxlearn_models.layers.words import WordBag, WordEmbedding

Make: TypeAlias = Callable[[Any, tuple[Tensor, ...], Schema], nn.Module]
"""Of a layer, what comes in, and the schema."""

MODULES: dict[str, Make] = {}
"""How the module of each kind of layer is made."""


def makes(*kinds: str) -> Callable[[Make], Make]:
    """The function makes the modules of these kinds of layers."""

    def enter(make: Make) -> Make:
        MODULES.update(dict.fromkeys(kinds, make))
        return make

    return enter


def make_module(layer: Layer, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    """The module of a layer; its initial weights come from torch's global generator."""
    return MODULES[layer.kind](layer, inputs, schema)


def _of_settings(module: Callable[..., nn.Module], **names: str) -> Make:
    """A module whose arguments are the layer's settings; ``names``: those that torch calls otherwise."""

    def make(layer: Layer, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
        del inputs, schema
        return module(**{names.get(name, name): value for name, value in layer.settings.items()})

    return make


for _kind, _module in {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "elu": nn.ELU, "celu": nn.CELU, "selu": nn.SELU, "gelu": nn.GELU, "silu": nn.SiLU,
    "mish": nn.Mish, "sigmoid": nn.Sigmoid, "hardsigmoid": nn.Hardsigmoid, "hardswish": nn.Hardswish,
    "log_sigmoid": nn.LogSigmoid, "tanh": nn.Tanh, "tanhshrink": nn.Tanhshrink, "softplus": nn.Softplus,
    "softsign": nn.Softsign, "softshrink": nn.Softshrink, "hardshrink": nn.Hardshrink, "threshold": nn.Threshold,
    "softmax": nn.Softmax, "log_softmax": nn.LogSoftmax, "glu": nn.GLU, "identity": nn.Identity,
    "max_pool1d": nn.MaxPool1d, "max_pool2d": nn.MaxPool2d, "max_pool3d": nn.MaxPool3d,
    "avg_pool1d": nn.AvgPool1d, "avg_pool2d": nn.AvgPool2d, "avg_pool3d": nn.AvgPool3d,
}.items():  # fmt: skip
    MODULES[_kind] = _of_settings(_module)
MODULES |= {
    "leaky_relu": _of_settings(nn.LeakyReLU, slope="negative_slope"),
    "rrelu": _of_settings(nn.RReLU, low="lower", high="upper"),
    "prelu": _of_settings(nn.PReLU),
    "hardtanh": _of_settings(nn.Hardtanh, low="min_val", high="max_val"),
    "dropout": _of_settings(Dropout),
    "flatten": _of_settings(nn.Flatten, start="start_dim", end="end_dim"),
    "adaptive_avg_pool1d": _of_settings(nn.AdaptiveAvgPool1d, n_out="output_size"),
    "adaptive_avg_pool2d": _of_settings(nn.AdaptiveAvgPool2d, n_out="output_size"),
    "adaptive_avg_pool3d": _of_settings(nn.AdaptiveAvgPool3d, n_out="output_size"),
    "squeeze": lambda layer, _x, _schema: Called("squeeze", layer.dim),
    "unsqueeze": lambda layer, _x, _schema: Called("unsqueeze", layer.dim),
    "permute": lambda layer, _x, _schema: Called("permute", 0, *layer.order),
    "take": lambda layer, _x, _schema: Take(layer.index, layer.dim),
    # Each network has a copy of its own: training one must not change the next.
    "fn": lambda layer, _x, _schema: (
        copy.deepcopy(layer.function) if isinstance(layer.function, nn.Module) else Function(layer.function)
    ),
    "merge_sum": lambda _layer, _x, _schema: Merge(torch.add),
    "merge_prod": lambda _layer, _x, _schema: Merge(torch.mul),
    "merge_cat": lambda layer, _x, _schema: Concat(layer.dim),
    **{kind: lambda layer, _x, _schema: GATED[layer.kind]() for kind in GATED},
}


@makes("reshape")
def _reshape(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    row = layer.shape(*inputs).row
    # No rows do not tell how many numbers a row has, so all sizes are given where they are known.
    return Reshape(layer.row if None in row else row)


@makes("linear")
def _linear(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    return nn.Linear(_size(inputs[0], -1), layer.d_out, bias=layer.bias)


@makes("head")
def _head(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    return nn.Linear(_size(inputs[0], -1), schema.n_outputs, bias=layer.bias)


@makes("embedding")
def _embedding(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    assert schema.ingress is not None
    source = inputs[0].source
    if (counts := schema.ingress.codes.get(source)) is None:
        return _words(layer, inputs[0], schema)
    return CodeEmbedding(counts, layer.widths(counts), std=layer.std, ingress=source)


@makes("embedding_bag")
def _embedding_bag(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    return WordBag(_words(layer, inputs[0], schema), layer.mode)


def _words(layer: Any, ids: Tensor, schema: Schema) -> WordEmbedding:
    assert schema.ingress is not None
    n_ids, d_out = schema.ingress.tensors[ids.source].n_ids, _size(layer.tensor((ids,), schema), -1)
    return WordEmbedding(ids.source, n_ids, d_out, std=layer.std)


@makes("tokenizer_categ")
def _tokenizer_categ(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    assert schema.ingress is not None
    source = inputs[0].source
    return TokenEmbedding(schema.ingress.codes[source], layer.d_token, ingress=source)


@makes("tokenizer_num")
def _tokenizer_num(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    return NumberTokens(_size(inputs[0], 1), layer.d_token, bias=layer.bias)


@makes("ft_cls")
def _ft_cls(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del layer, schema
    return ClassToken(_size(inputs[0], 2))


@makes("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    settings = layer.settings
    class_name = f"Conv{'Transpose' if 'transpose' in layer.kind else ''}{layer.kind[-2:]}"
    module: nn.Module = getattr(nn, class_name)(_size(inputs[0], 1), settings.pop("d_out"), **settings)
    return module


@makes("batch_norm1d", "batch_norm2d", "batch_norm3d")
def _batch_norm(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    module: nn.Module = getattr(nn, f"BatchNorm{layer.kind[-2:]}")(_size(inputs[0], 1), **layer.settings)
    return module


@makes("layer_norm")
def _layer_norm(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    sizes = [_size(inputs[0], axis) for axis in range(-layer.n_dims, 0)]
    return nn.LayerNorm(sizes, eps=layer.eps, elementwise_affine=layer.affine)


@makes("group_norm")
def _group_norm(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    return nn.GroupNorm(layer.n_groups, _size(inputs[0], 1), eps=layer.eps, affine=layer.affine)


@makes("upsample")
def _upsample(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    lines = {3: "linear", 4: "bilinear", 5: "trilinear"}[inputs[0].n_dims]
    mode = {"nearest": "nearest", "linear": lines, "cubic": "bicubic"}[layer.mode]
    return nn.Upsample(scale_factor=layer.factor, mode=mode)


@makes("rnn", "gru", "lstm")
def _recurrent(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    module = getattr(nn, layer.kind.upper())(
        _size(inputs[0], 2), layer.d_hidden, num_layers=layer.n_layers, batch_first=True,
        bidirectional=layer.bidirectional, dropout=layer.dropout if layer.n_layers > 1 else 0.0,
    )  # fmt: skip
    return (Recurrent if len(inputs) == 1 else TextRecurrent)(module, last=layer.last)


@makes("positions")
def _positions(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    return PositionVectors(_size(inputs[0], 1), _size(inputs[0], 2), learned=layer.learned)


@makes("mean")
def _mean(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    return WordMean() if len(inputs) > 1 else Called("mean", layer.dim)


@makes("multihead_attention")
def _attention(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    module = nn.MultiheadAttention(
        _size(inputs[0], 2), layer.n_heads, dropout=layer.dropout, bias=layer.bias, batch_first=True
    )  # fmt: skip
    has_ids = inputs[-1].dtype == "int64"
    # Of one tensor alone, it is also what is looked at.
    mask = later(_size(inputs[0], 1), _size(inputs[min(1, len(inputs) - has_ids - 1)], 1)) if layer.causal else None
    return Attention(module, has_ids=has_ids, mask=mask)


@makes("transformer_encoder_layer")
def _encoder_layer(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    module = nn.TransformerEncoderLayer(
        _size(inputs[0], 2), layer.n_heads, layer.d_feedforward, layer.dropout, layer.activation, batch_first=True,
        norm_first=layer.norm_first,
    )  # fmt: skip
    if len(inputs) == 1 and not layer.causal:
        return module
    return EncoderLayer(module, mask=later(_size(inputs[0], 1), _size(inputs[0], 1)) if layer.causal else None)


@makes("ft_transformer_block")
def _ft_block(layer: Any, inputs: tuple[Tensor, ...], schema: Schema) -> nn.Module:
    del schema
    d = _size(inputs[0], 2)
    config = FTTransformerConfig(
        d_block=d, attention_n_heads=layer.n_heads, attention_dropout=layer.attention_dropout, ffn_dropout=layer.ffn_dropout,
        residual_dropout=layer.residual_dropout, ffn_d_hidden_multiplier=layer.d_feedforward_factor,
    )  # fmt: skip
    return Block(d, config, is_first=layer.is_first, is_last=False)


def _size(x: Tensor, axis: int) -> int:
    size = x.shape[axis]
    assert size is not None, "shapes are inferred before modules are made"
    return size
