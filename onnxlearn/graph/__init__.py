"""Building, checking and describing ONNX graphs. Needs the package onnx; loading and predicting do not."""
