"""MLServer: ``mlserver start FOLDER``, whose ``model-settings.json`` names ``by_mlserver.Penguins``."""

from __future__ import annotations

from by_onnxruntime import Runtime
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Penguins(MLModel):  # type: ignore[misc]
    """One model."""

    async def load(self) -> bool:
        """Open the file."""
        self.runtime = Runtime()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request."""
        outputs = self.runtime({one.name: one.data.root for one in payload.inputs})
        return InferenceResponse(model_name=self.name, outputs=[ResponseOutput(**one) for one in outputs])
