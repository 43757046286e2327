"""A folder for servers of the Open Inference Protocol, version 2."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from onnxlearn.export.served import served_name, write_json
from onnxlearn.export.target import OUT, Target
from onnxlearn.params import param
from onnxlearn.wire.examples import example_request

if TYPE_CHECKING:
    from onnxlearn.model import Model

RUNTIME = "onnxlearn.hosts.mlserver.OnnxlearnModel"


@dataclass(frozen=True, kw_only=True)
class KServe(Target):
    """Target ``kserve``: the file, the settings by which MLServer serves it with our runtime, and a request to try it with."""

    meaning: ClassVar[str] = "a folder that MLServer serves by the Open Inference Protocol v2 (KServe), over HTTP and gRPC"
    is_folder: ClassVar[bool] = True
    takes_images: ClassVar[bool] = True

    name: str | None = param(None, "name of the model in the server (None: that of the task)")
    version: int = param(1, "number of this version", low=1)

    def write(self, model: Model, out: Path) -> list[str]:
        """Write the folder."""
        name = served_name(model, self.name)
        (out / "model.onnx").write_bytes(model.to_bytes())
        write_json(out / "model-settings.json", self._settings(name))
        write_json(out / "request.json", example_request(model.schema))
        return [
            f"serve it: pip install 'onnxlearn[mlserver]' && mlserver start {OUT}",
            f"ask it: curl -H 'Content-Type: application/json' -d @{OUT}/request.json localhost:8080/v2/models/{name}/infer",
        ]

    def _settings(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "implementation": RUNTIME,
            "platform": "onnxruntime_onnx",
            "parameters": {"uri": "./model.onnx", "version": str(self.version)},
        }
