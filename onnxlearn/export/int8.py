"""The network with INT8 weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from onnxlearn.errors import ParameterError
from onnxlearn.export.converted import Conversion, Converted
from onnxlearn.params import param

if TYPE_CHECKING:
    import onnx

    from onnxlearn.inspection.rows import Rows
    from onnxlearn.measures import Array, Measure
    from onnxlearn.model import Model


@dataclass(frozen=True, kw_only=True)
class Int8(Converted):
    """Target ``int8``."""

    name: ClassVar[str] = "int8"
    meaning: ClassVar[str] = "the network with INT8 weights: a quarter of the size, and wide layers are quicker"

    mode: Literal["dynamic", "static"] = param(
        "dynamic", "range of activations: that of each row, or one for all rows, found on those of calibration"
    )
    calibration: Any = param(
        None, "rows like those to be predicted, without the truth: a file, or in Python any table", when={"mode": "static"}
    )
    bits: Literal[7, 8] = param(7, "of the weights; 8 are closer, and overflow on processors without VNNI")

    def convert(self, model: Model, source: onnx.ModelProto, rows: Rows | None) -> Conversion:
        """Matrices and embeddings that are large enough."""
        from onnxlearn.graph.calibrated import calibrated
        from onnxlearn.graph.int8 import layers_of, tables_of, with_int8_layers, with_int8_tables
        from onnxlearn.graph.network import named_nodes, network_of

        network = network_of(source)
        kept = named_nodes(network, self.keep)
        layers = layers_of(network, kept)
        made = with_int8_tables(network, tables_of(network, kept))
        if self.mode == "dynamic":
            made = with_int8_layers(made, layers, bits=self.bits)
        elif layers:
            made = calibrated(made, layers, self._calibration_rows(model, source, network), bits=self.bits)
        told = f"{len(layers)} layers in INT8" if layers else ""
        return Conversion(network=made, told=(told,) if told else ())

    def _measures(self, model: Model) -> tuple[Measure, ...]:
        if self.mode == "static" and self.calibration is None:
            raise ParameterError("mode 'static' needs rows to find the ranges of activations on: give calibration=")
        return super()._measures(model)

    def _calibration_rows(self, model: Model, source: onnx.ModelProto, network: onnx.ModelProto) -> Mapping[str, Array]:
        """What the network reads of the calibration rows."""
        from onnxlearn.graph.network import tapped
        from onnxlearn.inspection.rows import read_rows
        from onnxlearn.runtime import open_session, run_chunked

        session = open_session(tapped(source, [value.name for value in network.graph.input]), "cpu")
        return run_chunked(session, read_rows(model, self.calibration).feeds, chunk_rows=model.chunk_rows)
