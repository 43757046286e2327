"""What each of the servers is given: the file run by ONNX Runtime, columns in by name, outputs out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime


class Runtime:
    """The file that the variable ``MODEL`` names, in one thread."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
        self._types = {one.name: object if "string" in one.type else np.float64 for one in self._session.get_inputs()}

    def __call__(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
        """Outputs as the Open Inference Protocol writes them."""
        feeds = {name: np.array(columns[name], dtype).reshape(-1, 1) for name, dtype in self._types.items()}
        labels, probabilities = self._session.run(["label", "probabilities"], feeds)
        return [
            {"name": "label", "shape": list(labels.shape), "datatype": "BYTES", "data": labels.tolist()},
            {
                "name": "probabilities",
                "shape": list(probabilities.shape),
                "datatype": "FP32",
                "data": probabilities.ravel().tolist(),
            },
        ]
