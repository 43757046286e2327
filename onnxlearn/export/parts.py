"""A model as a chain of models: preprocessing, the network, the names of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxlearn.errors import ParityError
from onnxlearn.export.chain import told_difference
from onnxlearn.export.encoded import NET, PREP, Encoded
from onnxlearn.runtime import open_session
from onnxlearn.schema import Target

if TYPE_CHECKING:
    from onnxlearn.model import Model

# No feature is called so.
INDEX = "net/index"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One model of the chain: its ``role``, its bytes, and what tensors of it are called between the models."""

    role: str
    data: bytes
    called: Mapping[str, str] = field(default_factory=dict)


def chain_of(model: Model) -> list[Part]:
    """Preprocessing, network and, where labels have names, their look-up; they have been run and give the model's very outputs.

    Raises: ParameterError for a file in another form, MissingExtraError, ExportError, ParityError.
    """
    whole, parts = Encoded().parts(model)
    files = {name: part.SerializeToString(deterministic=True) for name, part in parts.items()}
    told_difference(whole, list(files.values()), model, exact=True)
    chain = [Part(role="prep", data=files[PREP]), Part(role="net", data=files[NET])]
    target = model.schema.target
    # The positions of False and True are the labels of the file.
    if target.type == "regression" or target.dtype == "bool" or model.metadata.get("labels") == "indices":
        return chain
    return [chain[0], replace(chain[1], called={"label": INDEX}), Part(role="names", data=_names(target), called={"index": INDEX})]


def _names(target: Target) -> bytes:
    """A model that looks the class up: ``index`` INT64 ``[N]`` to ``label`` ``[N]``."""
    from onnxlearn.graph.builder import GraphBuilder
    from onnxlearn.graph.check import check_onnx

    is_text = target.dtype == "str"
    classes = np.array(target.classes, object if is_text else np.int64)
    g = GraphBuilder()
    index = g.input("index", "INT64", ["N"])
    with g.scope("post"):
        g.output(g.op("Gather", g.const(classes), index, axis=0), "label", "STRING" if is_text else "INT64", ["N"])
    data: bytes = g.to_model().SerializeToString(deterministic=True)
    check_onnx(data)
    (found,) = open_session(data, "cpu").run(None, {"index": np.arange(len(classes))})
    if found.tolist() != classes.tolist():
        raise ParityError("the names of the classes are not found by their positions")
    return data
