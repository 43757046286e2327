"""Ask a server of the Open Inference Protocol over gRPC: address, model, and a file of columns; outputs as JSON on stdout.

Triton's client sends and gets raw bytes; clients made of the protocol's messages have values in ``contents``: with the word
``contents`` as one of these does.
"""

import json
import sys
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, service_pb2, service_pb2_grpc

DATATYPES = {"float64": "FP64", "float32": "FP32", "int64": "INT64", "bool": "BOOL", "string": "BYTES"}
FIELDS = {
    "FP64": "fp64_contents", "FP32": "fp32_contents", "INT64": "int64_contents", "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}  # fmt: skip


def values_of(column):
    # 64-bit integers and what JSON has no number for come as text.
    convert = {"string": str.encode, "int64": int, "float64": float, "float32": float, "bool": bool}[column["type"]]
    return [convert(value) for value in column["values"]]


def tensor(name, column):
    kind = column["type"]
    array = np.array(values_of(column), object if kind == "string" else kind).reshape(-1, 1)
    given = InferInput(name, list(array.shape), DATATYPES[kind])
    given.set_data_from_numpy(array)
    return given


def ask_with_contents(address, model, columns):
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, column in columns.items():
        values, datatype = values_of(column), DATATYPES[column["type"]]
        given = request.inputs.add(name=name, datatype=datatype, shape=[len(values), 1])
        getattr(given.contents, FIELDS[datatype]).extend(values)
    with grpc.insecure_channel(address) as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
    outputs = {}
    for output in answer.outputs:
        values = list(getattr(output.contents, FIELDS[output.datatype]))
        values = [value.decode() if isinstance(value, bytes) else value for value in values]
        outputs[output.name] = {"shape": list(output.shape), "values": values}
    return outputs


def ask_raw(address, model, columns):
    answer = InferenceServerClient(address).infer(model, [tensor(name, column) for name, column in columns.items()])
    outputs = {}
    for output in answer.get_response().outputs:
        array = answer.as_numpy(output.name)
        values = [value.decode() if isinstance(value, bytes) else value for value in array.ravel().tolist()]
        outputs[output.name] = {"shape": list(array.shape), "values": values}
    return outputs


def main():
    address, model, file, *form = sys.argv[1:]
    columns = json.loads(Path(file).read_text("utf-8"))
    print(json.dumps((ask_with_contents if form == ["contents"] else ask_raw)(address, model, columns)))


if __name__ == "__main__":
    main()
