"""Attention, by products of matrices and softmax."""

# The signatures are torch's own.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.functions.table import Tensorish, lowers
from onnxlearn_models.lowering.operand import Constant, Context, known_sizes
from onnxlearn_models.lowering.trace import UnsupportedError


@lowers(functional.scaled_dot_product_attention)
def _attention(
    c: Context, query: Tensorish, key: Tensorish, value: Tensorish, attn_mask: Tensorish | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Value:  # fmt: skip
    if enable_gqa or dropout_p:
        raise UnsupportedError("attention with dropout or grouped")
    rank = len(query.shape)
    n_queries, n_keys, width = known_sizes((query.shape[-2], key.shape[-2], query.shape[-1]), "attention")
    if is_causal:
        attn_mask = Constant(torch.ones(n_queries, n_keys, dtype=torch.bool).tril())
    turned = c.g.op("Transpose", c.value(key), perm=[*range(rank - 2), rank - 1, rank - 2])
    scores = c.g.op("MatMul", c.value(query), turned)
    scaled = c.g.op("Mul", scores, c.value(1 / math.sqrt(width) if scale is None else scale, c.dtype))
    return c.g.op("MatMul", _shares(c, scaled, attn_mask, c.dtype), c.value(value))


def _shares(c: Context, scores: Value, mask: Tensorish | None, dtype: torch.dtype) -> Value:
    """The softmax of scores; a mask says where to look, or is added."""
    if mask is not None and mask.sample.dtype == torch.bool:
        scores = c.g.op("Where", c.value(mask), scores, c.value(-math.inf, dtype))
    elif mask is not None:
        scores = c.g.op("Add", scores, c.value(mask, dtype))
    return c.g.op("Softmax", scores, axis=-1)


@lowers(nn.MultiheadAttention)
def _multihead(
    c: Context, module: nn.MultiheadAttention, query: Tensorish, key: Tensorish, value: Tensorish,
    key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None, average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Value, Value | None]:  # fmt: skip
    """What is attended to, and each position's shares."""
    if module.bias_k is not None or module.add_zero_attn or len(query.shape) != 3:
        raise UnsupportedError("attention with keys of its own, or without rows")
    del is_causal  # it says of attn_mask what that is
    places = 1 if module.batch_first else 0
    known_sizes((query.shape[places], key.shape[places]), "attention")
    dtype = query.sample.dtype
    # [rows, heads, positions, numbers of a head]; the keys' last two the other way round.
    orders = [(0, 2, 1, 3), (0, 2, 3, 1), (0, 2, 1, 3)] if module.batch_first else [(1, 2, 0, 3), (1, 2, 3, 0), (1, 2, 0, 3)]
    queries, keys, values = (
        c.g.op("Transpose", _projected(c, module, x, i), perm=order)
        for i, (x, order) in enumerate(zip((query, key, value), orders, strict=True))
    )
    scores = c.g.op("MatMul", queries, keys)
    if key_padding_mask is not None:
        scores = _without(c, scores, key_padding_mask, dtype)
    shares = _shares(c, scores, _inverted(attn_mask), dtype)
    attended = c.g.op("MatMul", shares, values)
    back = c.g.op("Transpose", attended, perm=[0, 2, 1, 3] if module.batch_first else [2, 0, 1, 3])
    joined = c.g.op("Reshape", back, c.int64(0, 0, module.embed_dim))
    out = _mapped(c, joined, module.out_proj.weight, module.out_proj.bias, "out_proj.weight", "out_proj.bias")
    if not need_weights or 1 in c.unread:
        return out, None
    return out, c.g.op("ReduceMean", shares, c.int64(1), keepdims=0) if average_attn_weights else shares


def _without(c: Context, scores: Value, padding: Tensorish, dtype: torch.dtype) -> Value:
    """Scores ``[rows, heads, queries, keys]``, the least there is where a key ``[rows, keys]`` is none."""
    if padding.sample.dtype != torch.bool:
        raise UnsupportedError("attention with numbers added to padded keys")
    none = c.g.op("Unsqueeze", c.value(padding), c.int64(1, 2))
    return c.g.op("Where", none, c.value(-math.inf, dtype), scores)


def _inverted(mask: Any) -> Any:
    """A mask that says where to look; torch's says here where not to."""
    if mask is None:
        return None
    if len(mask.shape) != 2 or not isinstance(mask, Constant):
        raise UnsupportedError("attention with a mask of rows")
    if mask.tensor.dtype != torch.bool:
        return mask
    return Constant(~mask.tensor, mask.name)


def _projected(c: Context, module: nn.MultiheadAttention, x: Tensorish, i: int) -> Value:
    """Queries, keys or values by heads: two dimensions of ``x``, heads, numbers of a head. Queries are scaled at once."""
    d, n_heads = module.embed_dim, module.num_heads
    name = ("q_proj_weight", "k_proj_weight", "v_proj_weight")[i]
    together = module.in_proj_weight
    weight = getattr(module, name) if together is None else together[i * d : (i + 1) * d]
    bias = None if module.in_proj_bias is None else module.in_proj_bias[i * d : (i + 1) * d]
    if i == 0:
        factor = 1 / math.sqrt(d // n_heads)
        weight, bias = weight * factor, None if bias is None else bias * factor
    found = _mapped(c, c.value(x), weight, bias, name, "in_proj_bias")
    return c.g.op("Reshape", found, c.int64(0, 0, n_heads, d // n_heads))


def _mapped(c: Context, x: Value, weight: Tensor, bias: Tensor | None, *names: str) -> Value:
    product = c.g.op("MatMul", x, c.value(Constant(weight.detach().T, f"{c.name}.{names[0]}")))
    return product if bias is None else c.g.op("Add", product, c.value(Constant(bias.detach(), f"{c.name}.{names[1]}")))
