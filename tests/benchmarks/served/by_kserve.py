"""KServe's Python server: ``PORT=... MODEL=... python by_kserve.py``."""

from __future__ import annotations

import os
from typing import Any

from by_onnxruntime import Runtime
from kserve import InferOutput, InferResponse, Model, ModelServer


class Penguins(Model):
    """One model."""

    def __init__(self) -> None:
        super().__init__("penguins")
        self.runtime = Runtime()
        self.ready = True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> InferResponse:
        """Answer one request."""
        outputs = self.runtime({one.name: one.data for one in payload.inputs})
        return InferResponse(response_id="1", model_name=self.name, infer_outputs=[InferOutput(**one) for one in outputs])


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    ModelServer(http_port=port, grpc_port=port + 1, enable_latency_logging=False).start([Penguins()])
