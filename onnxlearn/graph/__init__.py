"""Building, checking and describing ONNX graphs. Needs the package onnx; loading and predicting do not."""

from onnxlearn.errors import MissingExtraError

try:
    import onnx as _onnx  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError.of("onnx", "export", "making an ONNX file") from error
