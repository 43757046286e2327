"""Postprocessing: what a network's output means, and what is made of it; fitted in numpy, emitted as ONNX."""
