"""The layers by name: each function makes a graph of one node, to be put behind others.

``id`` names the node; the settings are those of the layer's class.

>>> from onnxlearn.networks import nn
>>> nn.linear(64, id="wide") >> nn.relu()
Graph(wide relu)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from onnxlearn.errors import ParameterError, did_you_mean
from onnxlearn.networks.graph import Graph
from onnxlearn.networks.layer import LAYERS, Layer
from onnxlearn.networks.layers import activation, dense, function, merging, norm, sequence, shaping, structure, windows
from onnxlearn.networks.layers import ingress as _entries  # noqa: F401  entered among the kinds of layers
from onnxlearn.networks.layers import prep as _steps  # noqa: F401
from onnxlearn.params import require_names

# Whoever asks here for the kinds of layers finds all of them: they are entered when their modules are imported.
__all__ = ["LAYERS"]

P = ParamSpec("P")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Raise AttributeError with the layer that may be meant."""
        raise AttributeError(f"there is no layer {name!r}.{did_you_mean(name, LAYERS)}")


def maker(layer: Callable[P, Layer]) -> Callable[P, Graph]:
    """A function that makes a graph of one such layer."""
    made = inspect.signature(layer)

    def make(*args: Any, id: str | None = None, **settings: Any) -> Graph:
        kind = layer.kind  # type: ignore[attr-defined]
        require_names(settings, made.parameters, owner=f"{kind}()")
        if len(args) > len(made.parameters):
            raise ParameterError(f"{kind}() takes {len(made.parameters)} settings, and {len(args)} were given")
        return Graph.of(layer(*args, **settings), id)

    name = inspect.Parameter("id", inspect.Parameter.KEYWORD_ONLY, default=None)
    make.__signature__ = made.replace(parameters=[*made.parameters.values(), name], return_annotation=Graph)  # type: ignore[attr-defined]
    make.__doc__ = layer.__doc__
    return make  # type: ignore[return-value]


linear = maker(dense.Linear)
head = maker(dense.Head)
embedding = maker(dense.Embedding)
embedding_bag = maker(dense.EmbeddingBag)
tokenizer_categ = maker(dense.TokenizerCateg)
tokenizer_num = maker(dense.TokenizerNum)
ft_cls = maker(dense.FTCls)

shared = maker(structure.Shared)

relu = maker(activation.Relu)
relu6 = maker(activation.Relu6)
leaky_relu = maker(activation.LeakyRelu)
rrelu = maker(activation.Rrelu)
prelu = maker(activation.Prelu)
elu = maker(activation.Elu)
celu = maker(activation.Celu)
selu = maker(activation.Selu)
gelu = maker(activation.Gelu)
silu = maker(activation.Silu)
mish = maker(activation.Mish)
sigmoid = maker(activation.Sigmoid)
hardsigmoid = maker(activation.Hardsigmoid)
hardswish = maker(activation.Hardswish)
log_sigmoid = maker(activation.LogSigmoid)
tanh = maker(activation.Tanh)
hardtanh = maker(activation.Hardtanh)
tanhshrink = maker(activation.Tanhshrink)
softplus = maker(activation.Softplus)
softsign = maker(activation.Softsign)
softshrink = maker(activation.Softshrink)
hardshrink = maker(activation.Hardshrink)
threshold = maker(activation.Threshold)
glu = maker(activation.Glu)
reglu = maker(activation.Reglu)
geglu = maker(activation.Geglu)
swiglu = maker(activation.Swiglu)
softmax = maker(activation.Softmax)
log_softmax = maker(activation.LogSoftmax)

batch_norm1d = maker(norm.BatchNorm1d)
batch_norm2d = maker(norm.BatchNorm2d)
batch_norm3d = maker(norm.BatchNorm3d)
layer_norm = maker(norm.LayerNorm)
group_norm = maker(norm.GroupNorm)
dropout = maker(norm.Dropout)

conv1d = maker(windows.Conv1d)
conv2d = maker(windows.Conv2d)
conv3d = maker(windows.Conv3d)
conv_transpose1d = maker(windows.ConvTranspose1d)
conv_transpose2d = maker(windows.ConvTranspose2d)
conv_transpose3d = maker(windows.ConvTranspose3d)
max_pool1d = maker(windows.MaxPool1d)
max_pool2d = maker(windows.MaxPool2d)
max_pool3d = maker(windows.MaxPool3d)
avg_pool1d = maker(windows.AvgPool1d)
avg_pool2d = maker(windows.AvgPool2d)
avg_pool3d = maker(windows.AvgPool3d)
adaptive_avg_pool1d = maker(windows.AdaptiveAvgPool1d)
adaptive_avg_pool2d = maker(windows.AdaptiveAvgPool2d)
adaptive_avg_pool3d = maker(windows.AdaptiveAvgPool3d)
upsample = maker(windows.Upsample)

positions = maker(sequence.Positions)
rnn = maker(sequence.Rnn)
gru = maker(sequence.Gru)
lstm = maker(sequence.Lstm)
multihead_attention = maker(sequence.MultiheadAttention)
transformer_encoder_layer = maker(sequence.TransformerEncoderLayer)
ft_transformer_block = maker(sequence.FTTransformerBlock)

identity = maker(shaping.Identity)
flatten = maker(shaping.Flatten)
reshape = maker(shaping.Reshape)
squeeze = maker(shaping.Squeeze)
unsqueeze = maker(shaping.Unsqueeze)
permute = maker(shaping.Permute)
mean = maker(shaping.Mean)
take = maker(shaping.Take)

merge_sum = maker(merging.MergeSum)
merge_prod = maker(merging.MergeProd)
merge_cat = maker(merging.MergeCat)

block = maker(structure.Block)
choice = maker(structure.Choice)

fn = maker(function.Fn)
