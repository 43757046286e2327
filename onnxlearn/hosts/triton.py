"""A model in Triton's Python backend: copied into a model repository as ``model.py``, where Triton's Python runs it.

It needs numpy and onnxruntime there, and nothing of onnxlearn. Interface: https://github.com/triton-inference-server/python_backend.
"""

from pathlib import Path
from typing import Any

import numpy as np


class TritonPythonModel:
    """Runs the ``model.onnx`` beside this file.

    The requests that Triton hands over together are run as one batch.
    """

    def initialize(self, args: dict[str, str]) -> None:
        """Open the file, once an instance."""
        import onnxruntime
        import triton_python_backend_utils

        self.triton: Any = triton_python_backend_utils
        options = onnxruntime.SessionOptions()
        # Instances run side by side; each has one thread, which waits for no other.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        providers: list[Any] = ["CPUExecutionProvider"]
        if args["model_instance_kind"] == "GPU":
            providers.insert(0, ("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"], "use_tf32": "0"}))
        file = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(file, options, providers=providers)
        self.inputs = [value.name for value in self.session.get_inputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order; one that cannot be read or run is refused alone."""
        feeds: dict[int, dict[str, Any]] = {}
        refused: dict[int, Any] = {}
        for place, request in enumerate(requests):
            try:
                feeds[place] = {name: self._array(request, name) for name in self.inputs}
            except ValueError as error:
                refused[place] = self._refusal(error, self.triton.TritonError.INVALID_ARG)
        answers = refused | self._answers(feeds, requests)
        return [answers[place] for place in range(len(requests))]

    def _array(self, request: Any, name: str) -> Any:
        array = self.triton.get_input_tensor_by_name(request, name).as_numpy()
        if array.dtype.kind not in "OS":
            return array
        try:
            texts = [value.decode() for value in array.ravel()]
        except UnicodeDecodeError as error:
            raise ValueError(f"input {name!r}: the bytes {error.object!r} are no UTF-8; encode the text so") from error
        return np.array(texts, object).reshape(array.shape)

    def _answers(self, feeds: dict[int, dict[str, Any]], requests: list[Any]) -> dict[int, Any]:
        if not feeds:
            return {}
        try:
            joined = {name: np.concatenate([one[name] for one in feeds.values()]) for name in self.inputs}
            names = [value.name for value in self.session.get_outputs()]
            outputs = dict(zip(names, self.session.run(names, joined), strict=True))
        except Exception as error:  # noqa: BLE001 - the runtime has no base of its own
            if len(feeds) == 1:
                return dict.fromkeys(feeds, self._refusal(error))
            alone = [self._answers({place: one}, requests) for place, one in feeds.items()]
            return {place: answer for answers in alone for place, answer in answers.items()}
        ends = np.cumsum([len(one[self.inputs[0]]) for one in feeds.values()])[:-1]
        parts = {name: np.split(array, ends) for name, array in outputs.items()}
        return {
            place: self._answer({name: arrays[i] for name, arrays in parts.items()}, requests[place])
            for i, place in enumerate(feeds)
        }

    def _answer(self, outputs: dict[str, Any], request: Any) -> Any:
        wanted = set(request.requested_output_names())
        return self.triton.InferenceResponse(
            [self.triton.Tensor(name, array) for name, array in outputs.items() if name in wanted]
        )

    def _refusal(self, error: Exception, *code: Any) -> Any:
        return self.triton.InferenceResponse([], self.triton.TritonError(str(error), *code))
