"""The lowering table: functions and methods of torch to ONNX nodes, operator set 18.

An entry takes the :class:`Context`, then the function's own arguments, in which tensors are ``Traced`` or ``Constant``.
"""

# The signatures are torch's own.
# ruff: noqa: FBT001, FBT002

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch.nn import functional

from onnxlearn.graph.builder import Value
from onnxlearn_models.lowering.operand import ONNX_TYPES, Constant, Context, Traced
from onnxlearn_models.lowering.trace import UnsupportedError

Tensorish: TypeAlias = Traced | Constant
Entry: TypeAlias = Callable[..., Any]

TABLE: dict[Any, Entry] = {}
"""By function object, or by name for methods of a tensor."""

_INT64_MAX = 2**63 - 1


def lowers(*targets: Any) -> Callable[[Entry], Entry]:
    """Register an entry for functions and method names."""

    def register(entry: Entry) -> Entry:
        TABLE.update(dict.fromkeys(targets, entry))
        return entry

    return register


# Linear algebra


@lowers(functional.linear)
def linear(c: Context, input: Tensorish, weight: Tensorish, bias: Tensorish | None = None) -> Value:
    """``input @ weight.T + bias``: one Gemm for rows of numbers."""
    if len(c.shape) == 2:
        return c.g.op("Gemm", c.value(input), c.value(weight), None if bias is None else c.value(bias), transB=1)
    if not isinstance(weight, Constant):
        raise UnsupportedError("a linear map with computed weights")
    product = c.g.op("MatMul", c.value(input), c.value(Constant(weight.tensor.T, weight.name)))
    return product if bias is None else c.g.op("Add", product, c.value(bias))


@lowers(torch.matmul, operator.matmul, torch.bmm, "matmul", "bmm", "__matmul__")
def _matmul(c: Context, input: Tensorish, other: Tensorish) -> Value:
    return c.g.op("MatMul", c.value(input), c.value(other))


@lowers(torch.baddbmm, "baddbmm")
def _baddbmm(c: Context, input: Tensorish, batch1: Tensorish, batch2: Tensorish, *, beta: float = 1, alpha: float = 1) -> Value:
    if beta != 1 or alpha != 1:
        raise UnsupportedError("baddbmm with factors")
    return c.g.op("Add", c.g.op("MatMul", c.value(batch1), c.value(batch2)), c.value(input))


@lowers(torch.einsum)
def _einsum(c: Context, equation: str, *operands: Any) -> Value:
    terms = operands[0] if len(operands) == 1 and isinstance(operands[0], tuple | list) else operands
    return c.g.op("Einsum", *(c.value(term) for term in terms), equation=equation.replace(" ", ""))


@lowers(functional.embedding)
def _embedding(
    c: Context,
    input: Tensorish,
    weight: Tensorish,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Value:
    del padding_idx, norm_type, scale_grad_by_freq, sparse
    if max_norm is not None:
        raise UnsupportedError("embeddings with max_norm")
    return c.g.op("Gather", c.value(weight), c.value(input), axis=0)


@lowers(functional.scaled_dot_product_attention)
def _attention(
    c: Context, query: Tensorish, key: Tensorish, value: Tensorish, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Value:  # fmt: skip
    if attn_mask is not None or is_causal or enable_gqa or dropout_p:
        raise UnsupportedError("attention with a mask, with dropout or grouped")
    rank, width = len(query.shape), query.shape[-1]
    if width is None:
        raise UnsupportedError("attention over the batch")
    order = [*range(rank - 2), rank - 1, rank - 2]
    scores = c.g.op("MatMul", c.value(query), c.g.op("Transpose", c.value(key), perm=order))
    scaled = c.g.op("Mul", scores, c.value(1 / math.sqrt(width) if scale is None else scale, c.dtype))
    return c.g.op("MatMul", c.g.op("Softmax", scaled, axis=-1), c.value(value))


# Arithmetic


@lowers(torch.add, operator.add, "add", "__add__")
def _add(c: Context, input: Any, other: Any, *, alpha: float = 1) -> Value:
    return _arithmetic(c, "Add", input, other, alpha)


@lowers(torch.sub, operator.sub, "sub", "__sub__")
def _sub(c: Context, input: Any, other: Any, *, alpha: float = 1) -> Value:
    return _arithmetic(c, "Sub", input, other, alpha)


def _arithmetic(c: Context, op_type: str, input: Any, other: Any, alpha: float) -> Value:
    right = c.value(other, c.dtype)
    if alpha != 1:
        right = c.g.op("Mul", right, c.value(alpha, c.dtype))
    return c.g.op(op_type, c.value(input, c.dtype), right)


@lowers(torch.div, torch.true_divide, operator.truediv, "div", "__truediv__")
def _div(c: Context, input: Any, other: Any, *, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        raise UnsupportedError("division with rounding")
    return c.g.op("Div", c.value(input, c.dtype), c.value(other, c.dtype))


@lowers(torch.addcmul, "addcmul")
def _addcmul(c: Context, input: Tensorish, tensor1: Tensorish, tensor2: Tensorish, *, value: float = 1) -> Value:
    product = c.g.op("Mul", c.value(tensor1), c.value(tensor2))
    if value != 1:
        product = c.g.op("Mul", product, c.value(value, c.dtype))
    return c.g.op("Add", c.value(input), product)


@lowers(torch.lerp, "lerp")
def _lerp(c: Context, input: Tensorish, end: Tensorish, weight: Any) -> Value:
    way = c.g.op("Sub", c.value(end), c.value(input))
    return c.g.op("Add", c.value(input), c.g.op("Mul", way, c.value(weight, c.dtype)))


def _binary(op_type: str) -> Entry:
    def entry(c: Context, input: Any, other: Any) -> Value:
        return c.g.op(op_type, c.value(input, c.dtype), c.value(other, c.dtype))

    return entry


lowers(torch.mul, operator.mul, "mul", "__mul__")(_binary("Mul"))
lowers(torch.pow, operator.pow, "pow", "__pow__")(_binary("Pow"))
lowers(torch.maximum, "maximum")(_binary("Max"))
lowers(torch.minimum, "minimum")(_binary("Min"))
lowers(torch.logical_and, "logical_and")(_binary("And"))
lowers(torch.logical_or, "logical_or")(_binary("Or"))


def _comparison(op_type: str, *, negate: bool = False) -> Entry:
    def entry(c: Context, input: Any, other: Any) -> Value:
        samples = [x.sample if isinstance(x, Traced | Constant) else x for x in (input, other)]
        dtype = torch.result_type(*samples)
        found = c.g.op(op_type, c.value(input, dtype), c.value(other, dtype))
        return c.g.op("Not", found) if negate else found

    return entry


lowers(torch.gt, operator.gt, "gt")(_comparison("Greater"))
lowers(torch.ge, operator.ge, "ge")(_comparison("GreaterOrEqual"))
lowers(torch.lt, operator.lt, "lt")(_comparison("Less"))
lowers(torch.le, operator.le, "le")(_comparison("LessOrEqual"))
lowers(torch.eq, operator.eq, "eq")(_comparison("Equal"))
lowers(torch.ne, operator.ne, "ne")(_comparison("Equal", negate=True))


@lowers(torch.where)
def _where(c: Context, condition: Tensorish, input: Any, other: Any) -> Value:
    return c.g.op("Where", c.value(condition), c.value(input, c.dtype), c.value(other, c.dtype))


@lowers(torch.clamp, torch.clip, "clamp", "clip")
def _clamp(c: Context, input: Tensorish, min: Any = None, max: Any = None) -> Value:
    bounded = c.value(input, c.dtype)
    if min is not None:
        bounded = c.g.op("Max", bounded, c.value(min, c.dtype))
    return bounded if max is None else c.g.op("Min", bounded, c.value(max, c.dtype))


# Functions of one number


def _unary(op_type: str, **attributes: Any) -> Entry:
    def entry(c: Context, input: Tensorish, inplace: bool = False) -> Value:
        del inplace
        return c.g.op(op_type, c.value(input, c.dtype), **attributes)

    return entry


for _name, _op_type in {
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "abs": "Abs", "neg": "Neg", "sin": "Sin", "cos": "Cos",
    "sign": "Sign", "floor": "Floor", "ceil": "Ceil", "round": "Round", "reciprocal": "Reciprocal", "tanh": "Tanh",
    "sigmoid": "Sigmoid", "relu": "Relu", "logical_not": "Not",
}.items():  # fmt: skip
    lowers(getattr(torch, _name), _name)(_unary(_op_type))
lowers(operator.neg)(_unary("Neg"))
lowers(functional.relu)(_unary("Relu"))
lowers(functional.tanh)(_unary("Tanh"))
lowers(functional.sigmoid)(_unary("Sigmoid"))
lowers(functional.softsign)(_unary("Softsign"))


@lowers(torch.square, "square")
def _square(c: Context, input: Tensorish) -> Value:
    return c.g.op("Mul", c.value(input), c.value(input))


@lowers(torch.rsqrt, "rsqrt")
def _rsqrt(c: Context, input: Tensorish) -> Value:
    return c.g.op("Reciprocal", c.g.op("Sqrt", c.value(input, c.dtype)))


@lowers(torch.erf, torch.special.erf, "erf")
def _erf(c: Context, input: Tensorish) -> Value:
    return _erf_value(c, c.value(input, c.dtype))


def _erf_value(c: Context, x: Value) -> Value:
    if c.dtype != torch.float64:
        return c.g.op("Erf", x)
    # ONNX Runtime has it in float32 alone; its values are below 1, so this rounding stays small.
    return c.cast(c.g.op("Erf", c.cast(x, torch.float32)), torch.float64)


@lowers(functional.gelu)
def _gelu(c: Context, input: Tensorish, approximate: str = "none") -> Value:
    x = c.value(input)
    if approximate == "tanh":
        cubic = c.g.op("Mul", c.g.op("Mul", x, c.g.op("Mul", x, x)), c.value(0.044715, c.dtype))
        inner = c.g.op("Tanh", c.g.op("Mul", c.g.op("Add", x, cubic), c.value(math.sqrt(2 / math.pi), c.dtype)))
    else:
        inner = _erf_value(c, c.g.op("Div", x, c.value(math.sqrt(2), c.dtype)))
    return c.g.op("Mul", c.g.op("Mul", x, c.g.op("Add", inner, c.value(1.0, c.dtype))), c.value(0.5, c.dtype))


@lowers(functional.silu)
def _silu(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    return c.g.op("Mul", c.value(input), c.g.op("Sigmoid", c.value(input)))


@lowers(functional.mish)
def _mish(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    return c.g.op("Mul", c.value(input), c.g.op("Tanh", c.g.op("Softplus", c.value(input))))


@lowers(functional.hardswish)
def _hardswish(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    return c.g.op("HardSwish", c.value(input))


# Attributes of operators are FLOAT. In a network that computes in DOUBLE their constants are tensors instead.


@lowers(functional.selu)
def _selu(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    alpha, gamma = 1.6732632423543772, 1.0507009873554805
    if c.dtype == torch.float64:
        return c.g.op("Mul", _exponential_below(c, c.value(input), alpha, 1.0), c.value(gamma, c.dtype))
    return c.g.op("Selu", c.value(input), alpha=alpha, gamma=gamma)


@lowers(functional.elu)
def _elu(c: Context, input: Tensorish, alpha: float = 1.0, inplace: bool = False) -> Value:
    del inplace
    if c.dtype == torch.float64:
        return _exponential_below(c, c.value(input), alpha, 1.0)
    return c.g.op("Elu", c.value(input), alpha=float(alpha))


@lowers(functional.celu)
def _celu(c: Context, input: Tensorish, alpha: float = 1.0, inplace: bool = False) -> Value:
    del inplace
    if c.dtype == torch.float64:
        return _exponential_below(c, c.value(input), alpha, alpha)
    return c.g.op("Celu", c.value(input), alpha=float(alpha))


@lowers(functional.leaky_relu)
def _leaky_relu(c: Context, input: Tensorish, negative_slope: float = 0.01, inplace: bool = False) -> Value:
    del inplace
    if c.dtype == torch.float64:
        above, below = _parted(c, c.value(input))
        return c.g.op("Add", above, c.g.op("Mul", below, c.value(negative_slope, c.dtype)))
    return c.g.op("LeakyRelu", c.value(input), alpha=float(negative_slope))


@lowers(functional.hardsigmoid)
def _hardsigmoid(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    if c.dtype == torch.float64:
        line = c.g.op("Div", c.g.op("Add", c.value(input), c.value(3.0, c.dtype)), c.value(6.0, c.dtype))
        return c.g.op("Clip", line, c.value(0.0, c.dtype), c.value(1.0, c.dtype))
    return c.g.op("HardSigmoid", c.value(input), alpha=1 / 6, beta=0.5)


def _exponential_below(c: Context, x: Value, height: float, width: float) -> Value:
    """``x`` above 0, ``height (exp(x / width) - 1)`` below."""
    above, below = _parted(c, x)
    power = c.g.op("Exp", c.g.op("Div", below, c.value(width, c.dtype)))
    return c.g.op("Add", above, c.g.op("Mul", c.g.op("Sub", power, c.value(1.0, c.dtype)), c.value(height, c.dtype)))


def _parted(c: Context, x: Value) -> tuple[Value, Value]:
    """The positive and the negative part."""
    return c.g.op("Relu", x), c.g.op("Min", x, c.value(0.0, c.dtype))


@lowers(functional.prelu)
def _prelu(c: Context, input: Tensorish, weight: Tensorish) -> Value:
    # torch has one slope per channel, dimension 1; ONNX broadcasts from the last dimension.
    slope = c.reshape(c.value(weight), (weight.shape[0], *[1] * (len(c.shape) - 2)))
    return c.g.op("PRelu", c.value(input), slope)


@lowers(functional.hardtanh)
def _hardtanh(c: Context, input: Tensorish, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Value:
    del inplace
    return c.g.op("Clip", c.value(input), c.value(min_val, c.dtype), c.value(max_val, c.dtype))


@lowers(functional.relu6)
def _relu6(c: Context, input: Tensorish, inplace: bool = False) -> Value:
    del inplace
    return c.g.op("Clip", c.value(input), c.value(0.0, c.dtype), c.value(6.0, c.dtype))


@lowers(functional.softplus)
def _softplus(c: Context, input: Tensorish, beta: float = 1.0, threshold: float = 20.0) -> Value:
    del threshold  # beyond it torch returns x itself, which the exact function equals in float32
    if beta == 1:
        return c.g.op("Softplus", c.value(input))
    inner = c.g.op("Softplus", c.g.op("Mul", c.value(input), c.value(beta, c.dtype)))
    return c.g.op("Div", inner, c.value(beta, c.dtype))


@lowers(functional.logsigmoid)
def _logsigmoid(c: Context, input: Tensorish) -> Value:
    return c.g.op("Neg", c.g.op("Softplus", c.g.op("Neg", c.value(input))))


@lowers(functional.glu)
def _glu(c: Context, input: Tensorish, dim: int = -1) -> Value:
    half = c.shape[dim]
    if half is None:
        raise UnsupportedError("glu over the batch")
    value, gate = c.g.ops("Split", c.value(input), c.int64(half, half), n_outputs=2, axis=dim)
    return c.g.op("Mul", value, c.g.op("Sigmoid", gate))


# Along a dimension


def _softmax(op_type: str) -> Entry:
    def entry(c: Context, input: Tensorish, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Value:
        del _stacklevel
        if dim is None:
            raise UnsupportedError("softmax without dim")
        return c.g.op(op_type, c.value(input, dtype), axis=dim)

    return entry


lowers(functional.softmax, torch.softmax, "softmax")(_softmax("Softmax"))
lowers(functional.log_softmax, torch.log_softmax, "log_softmax")(_softmax("LogSoftmax"))


def _reduction(op_type: str) -> Entry:
    def entry(c: Context, input: Tensorish, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Value:
        del dtype
        rank = len(input.shape)
        dims = range(rank) if dim is None else dim if isinstance(dim, tuple | list) else (dim,)
        # ONNX Runtime takes negative axes for others where there are no rows.
        axes = [d % rank for d in dims]
        if any(input.shape[axis] is None for axis in axes):
            raise UnsupportedError("a reduction over the batch")
        return c.g.op(op_type, c.value(input, c.dtype), c.int64(*axes), keepdims=int(keepdim))

    return entry


lowers(torch.sum, "sum")(_reduction("ReduceSum"))
lowers(torch.mean, "mean")(_reduction("ReduceMean"))
lowers(torch.amax, "amax")(_reduction("ReduceMax"))
lowers(torch.amin, "amin")(_reduction("ReduceMin"))


@lowers(torch.cumsum, "cumsum")
def _cumsum(c: Context, input: Tensorish, dim: int) -> Value:
    if input.shape[dim] is None:
        raise UnsupportedError("a cumulative sum over the batch")
    return c.g.op("CumSum", c.value(input, c.dtype), c.value(dim, torch.int64))


@lowers(torch.topk, "topk")
def _topk(c: Context, input: Tensorish, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Value, ...]:
    axis = dim % len(input.shape)
    if input.shape[axis] is None:
        raise UnsupportedError("the largest over the batch")
    return c.g.ops("TopK", c.value(input), c.int64(k), n_outputs=2, axis=axis, largest=int(largest), sorted=int(sorted))


@lowers(functional.layer_norm)
def _layer_norm(
    c: Context, input: Tensorish, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Value:
    scale = c.value(torch.ones(tuple(normalized_shape), dtype=c.dtype) if weight is None else weight)
    shift = None if bias is None else c.value(bias)
    return c.g.op("LayerNormalization", c.value(input), scale, shift, axis=-len(normalized_shape), epsilon=eps)


@lowers(functional.rms_norm)
def _rms_norm(
    c: Context, input: Tensorish, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Value:
    x = c.value(input)
    rank = len(input.shape)
    axes = c.int64(*range(rank - len(normalized_shape), rank))
    mean = c.g.op("ReduceMean", c.g.op("Mul", x, x), axes, keepdims=1)
    root = c.g.op("Sqrt", c.g.op("Add", mean, c.value(torch.finfo(c.dtype).eps if eps is None else eps, c.dtype)))
    normed = c.g.op("Div", x, root)
    return normed if weight is None else c.g.op("Mul", normed, c.value(weight))


@lowers(functional.group_norm)
def _group_norm(
    c: Context, input: Tensorish, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Value:
    sizes = [size for size in input.shape[1:] if size is not None]
    if input.shape != (None, *sizes):
        raise UnsupportedError("a group norm over the batch")
    per_group = math.prod(sizes) // num_groups
    groups = c.reshape(c.value(input), (None, num_groups, per_group))
    ones = c.value(torch.ones(per_group, dtype=c.dtype))
    normed = c.reshape(c.g.op("LayerNormalization", groups, ones, axis=-1, epsilon=eps), c.shape)
    # A scale and a shift for each channel, the second dimension.
    for op_type, vector in (("Mul", weight), ("Add", bias)):
        if vector is not None:
            value = c.value(vector)
            normed = c.g.op(op_type, normed, value if len(sizes) == 1 else c.reshape(value, (-1, *[1] * (len(sizes) - 1))))
    return normed


# Shapes


@lowers(
    torch.flatten, torch.reshape, torch.unsqueeze, torch.squeeze, torch.unflatten,
    "flatten", "reshape", "view", "unsqueeze", "squeeze", "unflatten",
)  # fmt: skip
def _reshape(c: Context, input: Tensorish, *sizes: Any, **more: Any) -> Value:
    # All that these functions do is in the shape of their result, which the trace knows.
    del sizes, more
    same_rows = input.shape[:1] == (None,) and input.sample.shape[:1] == c.out.shape[:1]
    return c.reshape(c.value(input), c.shape, same_rows=same_rows)


@lowers("contiguous", "clone", torch.clone, "detach", torch.detach)
def _same(c: Context, input: Tensorish) -> Value:
    return c.value(input)


@lowers(functional.dropout, torch.dropout, functional.alpha_dropout, functional.feature_alpha_dropout)
def _dropout(c: Context, input: Tensorish, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    del p, inplace
    if training:
        raise UnsupportedError("dropout in training mode")
    return c.value(input)


@lowers(torch.permute, "permute")
def _permute(c: Context, input: Tensorish, *dims: Any) -> Value:
    order = dims[0] if isinstance(dims[0], tuple | list) else dims
    return c.g.op("Transpose", c.value(input), perm=[d % len(order) for d in order])


@lowers(torch.transpose, "transpose")
def _transpose(c: Context, input: Tensorish, dim0: int, dim1: int) -> Value:
    order = list(range(len(c.shape)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return c.g.op("Transpose", c.value(input), perm=order)


@lowers("expand")
def _expand(c: Context, input: Tensorish, *sizes: Any) -> Value:
    del sizes
    before = (*[1] * (len(c.shape) - len(input.shape)), *input.shape)
    return c.g.op("Expand", c.value(input), c.g.op("Concat", *map(partial(_new_size, c), c.shape, before), axis=0))


def _new_size(c: Context, size: int | None, before: int | None) -> Value:
    """One dimension of an expanded shape: 1 keeps what is there, and a new batch dimension is read from an ingress."""
    if size is None and before is not None:
        return c.g.op("Shape", c.batch, start=0, end=1)
    return c.int64(1 if size is None else size)


@lowers(torch.cat, torch.concat)
def _cat(c: Context, tensors: Sequence[Tensorish], dim: int = 0) -> Value:
    return c.g.op("Concat", *(c.value(tensor, c.dtype) for tensor in tensors), axis=dim)


@lowers(torch.stack)
def _stack(c: Context, tensors: Sequence[Tensorish], dim: int = 0) -> Value:
    axis = dim % len(c.shape)
    part = (*c.shape[:axis], 1, *c.shape[axis + 1 :])
    return c.g.op("Concat", *(c.reshape(c.value(tensor, c.dtype), part) for tensor in tensors), axis=axis)


@lowers(torch.chunk, torch.split, torch.tensor_split, "chunk", "split")
def _split(c: Context, input: Tensorish, sizes: Any, dim: int = 0) -> tuple[Value, ...]:
    del sizes
    if input.shape[dim] is None:
        raise UnsupportedError("splitting the batch")
    widths = [part.shape[dim] for part in c.out]
    return c.g.ops("Split", c.value(input), c.int64(*widths), n_outputs=len(widths), axis=dim)


@lowers(functional.one_hot)
def _one_hot(c: Context, tensor: Tensorish, num_classes: int = -1) -> Value:
    if num_classes < 0:
        raise UnsupportedError("one_hot whose width depends on the values")
    return c.g.op("OneHot", c.value(tensor), c.int64(num_classes), c.int64(0, 1), axis=-1)


@lowers(torch.index_select, "index_select")
def _index_select(c: Context, input: Tensorish, dim: int, index: Tensorish) -> Value:
    return c.g.op("Gather", c.value(input), c.value(index, torch.int64), axis=dim)


@lowers(torch.Tensor.to, "to", "float", "double", "long", "int", "bool", "type_as")
def _to(c: Context, input: Tensorish, *how: Any, **more: Any) -> Value:
    del how, more
    if c.dtype not in ONNX_TYPES:
        raise UnsupportedError(f"the type {c.dtype}")
    return c.value(input, c.dtype)


@lowers(operator.getitem)
def _getitem(c: Context, input: Any, index: Any) -> Any:
    if isinstance(input, tuple | list):
        return input[index]
    if isinstance(index, Traced) and index.sample.dtype == torch.int64:
        return c.g.op("Gather", c.value(input), index.value, axis=0)
    parts = _explicit(index if isinstance(index, tuple) else (index,), len(input.shape))
    plain = [part for part in parts if part is not None]
    value = _slices(c, c.value(input), plain, input.shape)
    for axis, part in reversed(list(enumerate(plain))):
        if not isinstance(part, slice):
            value = c.g.op("Gather", value, c.value(part, torch.int64), axis=axis)
    return c.reshape(value, c.shape) if None in parts else value


def _explicit(index: tuple[Any, ...], rank: int) -> list[Any]:
    """An index with one part for each dimension (``None`` adds one): slices, numbers or one tensor of positions."""
    tensors = [part for part in index if isinstance(part, Constant)]
    allowed = int if not tensors else Constant
    usual = all(part is None or part is Ellipsis or isinstance(part, slice | allowed) for part in index)
    if not usual or len(tensors) > 1 or any(t.tensor.dtype != torch.int64 or t.tensor.ndim != 1 for t in tensors):
        raise UnsupportedError("this way of indexing")
    fill = [slice(None)] * (rank - sum(part is not None and part is not Ellipsis for part in index))
    at = next((i for i, part in enumerate(index) if part is Ellipsis), None)
    return [*index, *fill] if at is None else [*index[:at], *fill, *index[at + 1 :]]


def _slices(c: Context, value: Value, parts: list[Any], shape: tuple[int | None, ...]) -> Value:
    """Apply all slices that leave something out, in one node."""
    cut = [(axis, part) for axis, part in enumerate(parts) if isinstance(part, slice) and part != slice(None)]
    if any(shape[axis] is None for axis, _ in cut):
        raise UnsupportedError("slicing the batch")
    if not cut:
        return value
    starts = [part.start or 0 for _, part in cut]
    ends = [_INT64_MAX if part.stop is None else part.stop for _, part in cut]
    steps = [part.step or 1 for _, part in cut]
    return c.g.op("Slice", value, c.int64(*starts), c.int64(*ends), c.int64(*(axis for axis, _ in cut)), c.int64(*steps))
