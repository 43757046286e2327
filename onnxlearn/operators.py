"""The operators that a model file may use: those that compute, in a number of steps that the shapes of their inputs tell.

Left out are loops, branches and everything else with graphs inside; sequences and optionals; random numbers; and operators
whose output has a size that values tell, but for those that our own graphs and torch's exporter need (:data:`SIZED`).
"""

from __future__ import annotations

OPSETS = {"": range(7, 27), "ai.onnx.ml": range(1, 6)}
"""The versions of the standard's operators that ONNX Runtime reads, by domain; ``ai.onnx`` is written as the empty text."""

SIZED = {"ConstantOfShape": 0, "Expand": 1, "OneHot": 1, "Pad": 1, "Resize": 3, "Tile": 1}
"""Operators whose output has a size that values tell, and which input that is."""

WINDOWED = frozenset({"AveragePool", "Conv", "ConvTranspose", "MaxPool"})
"""Operators whose output has a size that attributes tell as well: steps between windows, and positions added around."""

_BY_ELEMENT = """
    Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu
    Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu
    Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh
    Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
"""
_ALONG_AXES = """
    ArgMax ArgMin CumSum Hardmax LogSoftmax ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Softmax TopK
"""
_LAYERS = """
    Attention AveragePool BatchNormalization Conv ConvTranspose Einsum GRU Gemm GlobalAveragePool GlobalMaxPool
    GroupNormalization InstanceNormalization LSTM LayerNormalization LpNormalization MatMul MaxPool MeanVarianceNormalization
    RMSNormalization RNN
"""
_SHAPES = """
    Compress Concat Constant Dropout Flatten Gather GatherElements GatherND NonZero Reshape ReverseSequence
    ScatterElements ScatterND Shape Size Slice Split Squeeze Transpose Trilu Unique Unsqueeze
"""
_QUANTISED = "ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv QLinearMatMul QuantizeLinear"
_TEXTS = "RegexFullMatch StringConcat StringSplit"
_ML = """
    ArrayFeatureExtractor Binarizer CategoryMapper FeatureVectorizer Imputer LabelEncoder LinearClassifier LinearRegressor
    Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
"""

OPERATORS = {
    "": frozenset(f"{_BY_ELEMENT}{_ALONG_AXES}{_LAYERS}{_SHAPES}{_QUANTISED} {_TEXTS}".split()) | set(SIZED),
    "ai.onnx.ml": frozenset(_ML.split()),
}
"""By domain."""
