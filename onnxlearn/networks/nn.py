"""The layers by name: each function makes a graph of one node, to be put behind others.

``id`` names the node; the settings are those of the layer's class.

>>> from onnxlearn.networks import nn
>>> nn.linear(64, id="wide") >> nn.relu()
Graph(wide relu)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec

from onnxlearn.networks.graph import Graph
from onnxlearn.networks.layer import LAYERS, Layer
from onnxlearn.networks.layers import activation, dense, function, merging, norm, sequence, shaping, structure, windows
from onnxlearn.networks.layers import ingress as _entries  # noqa: F401  entered among the kinds of layers

# Whoever asks here for the kinds of layers finds all of them: they are entered when their modules are imported.
__all__ = ["LAYERS"]

P = ParamSpec("P")


def _maker(layer: Callable[P, Layer]) -> Callable[P, Graph]:
    def make(*args: Any, id: str | None = None, **settings: Any) -> Graph:
        return Graph.of(layer(*args, **settings), id)

    made = inspect.signature(layer)
    name = inspect.Parameter("id", inspect.Parameter.KEYWORD_ONLY, default=None)
    make.__signature__ = made.replace(parameters=[*made.parameters.values(), name], return_annotation=Graph)  # type: ignore[attr-defined]
    make.__doc__ = layer.__doc__
    return make  # type: ignore[return-value]


linear = _maker(dense.Linear)
head = _maker(dense.Head)
embedding = _maker(dense.Embedding)
embedding_bag = _maker(dense.EmbeddingBag)
tokenizer_categ = _maker(dense.TokenizerCateg)
tokenizer_num = _maker(dense.TokenizerNum)
ft_cls = _maker(dense.FTCls)

relu = _maker(activation.Relu)
relu6 = _maker(activation.Relu6)
leaky_relu = _maker(activation.LeakyRelu)
rrelu = _maker(activation.Rrelu)
prelu = _maker(activation.Prelu)
elu = _maker(activation.Elu)
celu = _maker(activation.Celu)
selu = _maker(activation.Selu)
gelu = _maker(activation.Gelu)
silu = _maker(activation.Silu)
mish = _maker(activation.Mish)
sigmoid = _maker(activation.Sigmoid)
hardsigmoid = _maker(activation.Hardsigmoid)
hardswish = _maker(activation.Hardswish)
log_sigmoid = _maker(activation.LogSigmoid)
tanh = _maker(activation.Tanh)
hardtanh = _maker(activation.Hardtanh)
tanhshrink = _maker(activation.Tanhshrink)
softplus = _maker(activation.Softplus)
softsign = _maker(activation.Softsign)
softshrink = _maker(activation.Softshrink)
hardshrink = _maker(activation.Hardshrink)
threshold = _maker(activation.Threshold)
glu = _maker(activation.Glu)
reglu = _maker(activation.Reglu)
geglu = _maker(activation.Geglu)
swiglu = _maker(activation.Swiglu)
softmax = _maker(activation.Softmax)
log_softmax = _maker(activation.LogSoftmax)

batch_norm1d = _maker(norm.BatchNorm1d)
batch_norm2d = _maker(norm.BatchNorm2d)
batch_norm3d = _maker(norm.BatchNorm3d)
layer_norm = _maker(norm.LayerNorm)
group_norm = _maker(norm.GroupNorm)
dropout = _maker(norm.Dropout)

conv1d = _maker(windows.Conv1d)
conv2d = _maker(windows.Conv2d)
conv3d = _maker(windows.Conv3d)
conv_transpose1d = _maker(windows.ConvTranspose1d)
conv_transpose2d = _maker(windows.ConvTranspose2d)
conv_transpose3d = _maker(windows.ConvTranspose3d)
max_pool1d = _maker(windows.MaxPool1d)
max_pool2d = _maker(windows.MaxPool2d)
max_pool3d = _maker(windows.MaxPool3d)
avg_pool1d = _maker(windows.AvgPool1d)
avg_pool2d = _maker(windows.AvgPool2d)
avg_pool3d = _maker(windows.AvgPool3d)
adaptive_avg_pool1d = _maker(windows.AdaptiveAvgPool1d)
adaptive_avg_pool2d = _maker(windows.AdaptiveAvgPool2d)
adaptive_avg_pool3d = _maker(windows.AdaptiveAvgPool3d)
upsample = _maker(windows.Upsample)

rnn = _maker(sequence.Rnn)
gru = _maker(sequence.Gru)
lstm = _maker(sequence.Lstm)
multihead_attention = _maker(sequence.MultiheadAttention)
transformer_encoder_layer = _maker(sequence.TransformerEncoderLayer)
ft_transformer_block = _maker(sequence.FTTransformerBlock)

identity = _maker(shaping.Identity)
flatten = _maker(shaping.Flatten)
reshape = _maker(shaping.Reshape)
squeeze = _maker(shaping.Squeeze)
unsqueeze = _maker(shaping.Unsqueeze)
permute = _maker(shaping.Permute)
mean = _maker(shaping.Mean)
take = _maker(shaping.Take)

merge_sum = _maker(merging.MergeSum)
merge_prod = _maker(merging.MergeProd)
merge_cat = _maker(merging.MergeCat)

block = _maker(structure.Block)
choice = _maker(structure.Choice)

fn = _maker(function.Fn)
