"""The network with INT8 weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from onnxlearn.errors import ParameterError
from onnxlearn.export.converted import Conversion, Converted, Subject
from onnxlearn.params import param

if TYPE_CHECKING:
    from onnxlearn.measures import Array, Measure
    from onnxlearn.model import Model


@dataclass(frozen=True, kw_only=True)
class Int8(Converted):
    """Target ``int8``."""

    name: ClassVar[str] = "int8"
    meaning: ClassVar[str] = "matrices and embeddings of the network in INT8, a quarter of their size; wide layers are quicker"

    mode: Literal["dynamic", "static"] = param(
        "dynamic", "range of activations: that of each row, or one for all rows, found on those of calibration"
    )
    calibration: Any = param(
        None, "rows like those to be predicted, without the truth: a file, or in Python any table", when={"mode": "static"}
    )
    bits: Literal[7, 8] = param(7, "of the weights; 8 are closer, and overflow on processors without VNNI")

    def convert(self, subject: Subject) -> Conversion:
        """Matrices and embeddings that are large enough."""
        from onnxlearn.graph.calibrated import calibrated
        from onnxlearn.graph.int8 import is_stack, layers_of, tables_of, with_int8_layers, with_int8_tables
        from onnxlearn.graph.network import named_nodes

        kept = named_nodes(subject.network, self.keep)
        layers, tables = layers_of(subject.network, kept), tables_of(subject.network, kept)
        # A stack of matrices with a scale for each output of each is more than the quantizer can write.
        fixed = [node for node in layers if self.mode == "static" and not is_stack(node, subject.network)]
        made = with_int8_tables(subject.network, tables)
        made = with_int8_layers(made, [node for node in layers if node not in fixed], bits=self.bits)
        if fixed:
            rows = self._calibration_rows(subject)
            made = calibrated(made, fixed, rows, bits=self.bits, chunk_rows=subject.model.chunk_rows)
        counts = {"layer": len(layers), "embedding": len(tables)}
        told = ", ".join(f"{n} {what}{'s' if n > 1 else ''}" for what, n in counts.items() if n)
        n_left = sum(node.op_type in ("Conv", "ConvTranspose") for node in subject.network.graph.node)
        left = (f"in FLOAT as before: {n_left} convolution{'s' if n_left > 1 else ''}",) if n_left else ()
        return Conversion(network=made, told=(f"in INT8: {told}", *left))

    def _measures(self, model: Model) -> tuple[Measure, ...]:
        if self.mode == "static" and self.calibration is None:
            raise ParameterError("mode 'static' needs rows to find the ranges of activations on: give calibration=")
        return super()._measures(model)

    def _calibration_rows(self, subject: Subject) -> Mapping[str, Array]:
        """What the network reads of the calibration rows."""
        from onnxlearn.graph.network import tapped
        from onnxlearn.inspection.rows import read_rows
        from onnxlearn.runtime import open_session
        from onnxlearn.session import run_chunked

        session = open_session(tapped(subject.graph, [value.name for value in subject.network.graph.input]), "cpu")
        feeds = read_rows(subject.model, self.calibration, images=self.images).feeds
        return run_chunked(session, feeds, chunk_rows=subject.model.chunk_rows)
