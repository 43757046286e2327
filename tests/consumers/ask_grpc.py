"""Ask a server of the Open Inference Protocol over gRPC: address, model, and a file of columns; outputs as JSON on stdout."""

import json
import sys
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput

DATATYPES = {"float64": "FP64", "float32": "FP32", "int64": "INT64", "bool": "BOOL", "string": "BYTES"}


def tensor(name, column):
    kind, values = column["type"], column["values"]
    dtype = object if kind == "string" else kind
    # 64-bit integers and what JSON has no number for come as text.
    convert = {"string": str.encode, "int64": int, "float64": float, "float32": float, "bool": bool}[kind]
    array = np.array([convert(value) for value in values], dtype).reshape(-1, 1)
    given = InferInput(name, list(array.shape), DATATYPES[kind])
    given.set_data_from_numpy(array)
    return given


def main():
    address, model, file = sys.argv[1:]
    columns = json.loads(Path(file).read_text("utf-8"))
    answer = InferenceServerClient(address).infer(model, [tensor(name, column) for name, column in columns.items()])
    outputs = {}
    for output in answer.get_response().outputs:
        array = answer.as_numpy(output.name)
        values = [value.decode() if isinstance(value, bytes) else value for value in array.ravel().tolist()]
        outputs[output.name] = {"shape": list(array.shape), "values": values}
    print(json.dumps(outputs))


if __name__ == "__main__":
    main()
