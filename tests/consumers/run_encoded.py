"""Runs a network of numbers and codes where there is no ONNX Runtime: python run_encoded.py RUNTIME NET.onnx IN.npz OUT.npz.

IN.npz holds the tensors by name in the order of the inputs, OUT.npz gets the outputs by position: tract keeps no names.
"""

import sys

import numpy as np


def openvino(path, tensors):
    import openvino

    core = openvino.Core()
    # Rather than bfloat16 on processors that have it.
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = compiled(tensors)
    return [outputs[output] for output in compiled.outputs]


def tract(path, tensors):
    import tract

    model = tract.onnx().load(path)
    # It wants to know the number of rows.
    for i, tensor in enumerate(tensors.values()):
        kind = "f32" if tensor.dtype == np.float32 else "i64"
        model.set_input_fact(i, f"{tensor.shape[0]},{tensor.shape[1]},{kind}")
    return [output.to_numpy() for output in model.into_model().into_runnable().run(list(tensors.values()))]


if __name__ == "__main__":
    runtime, path, given, wanted = sys.argv[1:]
    with np.load(given) as file:
        tensors = {name: file[name] for name in file.files}
    np.savez(wanted, *{"openvino": openvino, "tract": tract}[runtime](path, tensors))
