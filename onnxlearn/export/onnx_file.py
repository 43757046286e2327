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

    meaning: ClassVar[str] = "the same model at another opset, with other inputs, labels or outputs"
    takes_images: ClassVar[bool] = True

    opset: int | None = param(None, "ONNX opset, not below the model's own (None: as it is)")
    labels: Literal["names", "indices"] | None = param(
        None, "the label as the class's name or as its position among the classes"
    )
    outputs: tuple[str, ...] = param(
        (),
        "the outputs to keep, in this order; unseen is added where it is named: values that are no level of a column (): all",
    )
    layout: Literal["columns", "packed"] | None = param(
        None, "one input a column, or the columns packed by type: numbers, integers (integer levels, dates) and strings"
    )
    rank: Literal[1, 2] | None = param(None, "shape of a column's input, [N] or [N, 1]")
    float_type: Literal["float64", "float32"] | None = param(
        None, "type of the inputs that are numbers (None: each column's own, float64 where they are packed)"
    )

    def write(self, model: Model, out: Path) -> list[str]:
        """Rewrite the file."""
        from onnxlearn.export.rounding import told_rounding
        from onnxlearn.graph.rewrite import rewrite

        data = rewrite(
            model.to_bytes(), opset=self.opset, labels=self.labels, outputs=self.outputs or None, layout=self.layout,
            rank=self.rank, float_type=self.float_type,
        )  # fmt: skip
        out.write_bytes(data)
        return told_rounding(model) if self.float_type == "float32" else []
