"""The network in FLOAT16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from onnxlearn.export.converted import Conversion, Converted, Subject


@dataclass(frozen=True, kw_only=True)
class Fp16(Converted):
    """Target ``fp16``."""

    name: ClassVar[str] = "fp16"
    meaning: ClassVar[str] = "the network in FLOAT16: half the size, for GPUs; a CPU is no quicker with it"

    def convert(self, subject: Subject) -> Conversion:
        """The network but those nodes whose numbers are too large for FLOAT16, or nearly so, or too small."""
        from onnxlearn.graph.half import halved
        from onnxlearn.graph.network import named_nodes

        kept = named_nodes(subject.network, self.keep)
        unfit = _unfit_nodes(subject) - kept
        made = halved(subject.network, kept | unfit)
        told = (f"too large or too small for FLOAT16, so left in FLOAT: the numbers of {len(unfit)} nodes",) if unfit else ()
        return Conversion(network=made.network, elsewhere=made.rounded, told=told)


def _unfit_nodes(subject: Subject) -> set[str]:
    """Names of the nodes that make or read a tensor that FLOAT16 does not hold twice over."""
    from onnxlearn.graph.half import fits
    from onnxlearn.graph.hostile import tried_feeds
    from onnxlearn.graph.network import float_tensors, largest_values

    names = float_tensors(subject.network)
    chunk_rows = subject.model.chunk_rows
    tables = [tried_feeds(subject.model.schema, chunk_rows), *([subject.rows.feeds] if subject.rows else [])]
    found = [largest_values(subject.graph, names, feeds, chunk_rows) for feeds in tables]
    unfit = {name for name in names if not fits(max(largest[name] for largest in found), spare=2.0)}
    return {node.name for node in subject.network.graph.node if unfit.intersection((*node.input, *node.output))}
