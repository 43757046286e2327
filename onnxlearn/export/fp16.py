"""The network in FLOAT16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from onnxlearn.export.converted import Conversion, Converted

if TYPE_CHECKING:
    import onnx

    from onnxlearn.inspection.rows import Rows
    from onnxlearn.model import Model


@dataclass(frozen=True, kw_only=True)
class Fp16(Converted):
    """Target ``fp16``."""

    name: ClassVar[str] = "fp16"
    meaning: ClassVar[str] = "the network in FLOAT16: half the size, for GPUs; a CPU is no quicker with it"

    def convert(self, model: Model, source: onnx.ModelProto, rows: Rows | None) -> Conversion:
        """The network but those nodes whose numbers are, or get near to, too large for FLOAT16."""
        from onnxlearn.graph.half import halved
        from onnxlearn.graph.network import named_nodes, network_of

        network = network_of(source)
        kept = named_nodes(network, self.keep)
        wide = _wide_nodes(model, source, network, rows) - kept
        made = halved(network, kept | wide)
        told = (f"{len(wide)} nodes stay in FLOAT: their numbers are too large for FLOAT16",) if wide else ()
        return Conversion(network=made.network, elsewhere=made.rounded, told=told)


def _wide_nodes(model: Model, source: onnx.ModelProto, network: onnx.ModelProto, rows: Rows | None) -> set[str]:
    """Names of the nodes that make or read a tensor that gets larger than half of what FLOAT16 holds."""
    from onnxlearn.graph.half import LARGEST
    from onnxlearn.graph.hostile import EVERY_KIND, hostile_feeds
    from onnxlearn.graph.network import float_tensors, largest_values

    names = float_tensors(network)
    tables = [hostile_feeds(model.schema, 4 * EVERY_KIND), *([rows.feeds] if rows is not None else [])]
    found = [largest_values(source, names, feeds, model.chunk_rows) for feeds in tables]
    wide = {name for largest in found for name, value in largest.items() if not value <= LARGEST / 2}
    return {node.name for node in network.graph.node if wide.intersection((*node.input, *node.output))}
