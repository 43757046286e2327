"""The same model as another ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from onnxlearn.export.target import Target
from onnxlearn.params import param

if TYPE_CHECKING:
    from onnxlearn.model import Model


@dataclass(frozen=True, kw_only=True)
class OnnxFile(Target):
    """Target ``onnx``."""

    meaning: ClassVar[str] = "the same model at another opset or with other labels"

    opset: int | None = param(None, "ONNX opset, not below the model's own (None: as it is)")
    labels: Literal["names", "indices"] | None = param(
        None, "the label as the class's name or as its position among the classes"
    )

    def write(self, model: Model, out: Path) -> list[str]:
        """Rewrite the file."""
        from onnxlearn.graph.rewrite import rewrite

        out.write_bytes(rewrite(model.to_bytes(), opset=self.opset, labels=self.labels))
        return []
