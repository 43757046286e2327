"""From a torch network to ONNX nodes."""
