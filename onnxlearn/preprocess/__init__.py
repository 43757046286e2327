"""Preprocessing: each step is fitted in numpy and emits ONNX; training reads the tensors that the emitted graph made."""
