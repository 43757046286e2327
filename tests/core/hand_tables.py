"""Schemas and feeds made by hand, and drawn ones of every column kind."""

import numpy as np
from hypothesis import strategies as st

from onnxlearn.graph.assemble import NetworkPart, NetworkValues, assemble
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.heads import Head
from onnxlearn.postprocess.postprocessing import Postprocessing
from onnxlearn.runtime import open_session
from onnxlearn.schema import MISSING_INT64, Column, Schema, Target
from onnxlearn.session import run_chunked

CLASSES = Target(names=("kind",), type="classification", dtype="str", classes=("no", "yes"), positive="yes")
NUMBER = Target(names=("price",), type="regression", dtype="float64")

AGE = Column(name="age", kind="numeric", dtype="float64", has_missing=True)
SIZE = Column(name="size", kind="numeric", dtype="float32")
OWNED = Column(name="owned", kind="boolean", dtype="bool", has_missing=True)
STRICT = Column(name="strict", kind="boolean", dtype="bool", strict_bool=True)
CITY = Column(name="city", kind="categorical", dtype="str", levels=("Bonn", "Köln", "nan"), has_missing=True)
ZONE = Column(name="zone", kind="categorical", dtype="int64", levels=tuple(range(-3, 9)))
GRADE = Column(name="grade", kind="ordered", dtype="str", levels=("low", "mid", "high"), has_missing=True)
STARS = Column(name="stars", kind="ordered", dtype="int64", levels=(5, 4, 1))
BORN = Column(name="born", kind="datetime", dtype="naive", has_missing=True)
SEEN = Column(name="seen", kind="datetime", dtype="utc")
ALL = (AGE, SIZE, OWNED, STRICT, CITY, ZONE, GRADE, STARS, BORN, SEEN)


def schema_of(*columns, target=NUMBER):
    return Schema(name="hand", features=columns, target=target)


def numeric_columns(n):
    return tuple(Column(name=f"x{i}", kind="numeric", dtype="float64") for i in range(n))


def feed(column, values):
    """The wire array of one column from a list or array of wire values."""
    dtype = {"DOUBLE": np.float64, "FLOAT": np.float32, "BOOL": np.bool_, "INT64": np.int64, "STRING": object}[column.onnx_type]
    return np.array(values, dtype).reshape(-1, 1)


def feeds_of_matrix(x):
    return {f"x{i}": np.ascontiguousarray(x[:, [i]]) for i in range(x.shape[1])}


def draw_column(column, n, rng, missing=0.1):
    """Random wire values of a column; missing ones only where the schema has seen some."""
    gone = rng.random(n) < (missing if column.has_missing else 0)
    if column.kind == "numeric":
        return feed(column, np.where(gone, np.nan, rng.normal(40, 10, n)))
    if column.kind == "boolean":
        return feed(column, np.where(gone, np.nan, rng.integers(0, 2, n)))
    if column.kind == "datetime":
        return feed(column, np.where(gone, MISSING_INT64, rng.integers(-(10**16), 10**16, n)))
    values = np.array(column.levels, object)[rng.integers(0, len(column.levels), n)]
    return feed(column, np.where(gone, "" if column.onnx_type == "STRING" else MISSING_INT64, values))


def draw_feeds(schema, n, seed=0):
    rng = np.random.default_rng(seed)
    return {column.name: draw_column(column, n, rng) for column in schema.features}


def run_model(model, feeds):
    """All outputs by ONNX Runtime, in one batch."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return run_chunked(open_session(data, "cpu"), feeds, chunk_rows=1_000_000)


FLOATS = st.floats(allow_infinity=False, width=64) | st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1.7e308, -1.7e308, np.nan])
TEXTS = st.sampled_from(["", "nan", "None", "Bonn", "Köln", "low", "mid", "high", "東京"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5
)


def wire_values(column):
    """A strategy for wire values of a column, seen in training or not."""
    if column.kind == "boolean":
        return st.booleans() if column.strict_bool else st.sampled_from([0.0, 1.0, np.nan])
    if column.onnx_type == "FLOAT":
        return st.floats(allow_infinity=False, width=32)
    if column.onnx_type == "DOUBLE":
        return FLOATS
    if column.onnx_type == "STRING":
        return TEXTS
    return st.integers(-3, 9) | st.integers(MISSING_INT64, 2**63 - 1) | st.just(MISSING_INT64)


@st.composite
def drawn_feeds(draw, schema, min_rows=1, max_rows=12):
    n = draw(st.integers(min_rows, max_rows))
    return {c.name: feed(c, draw(st.lists(wire_values(c), min_size=n, max_size=n))) for c in schema.features}


def emit_outputs(g, raw, target, scaling=None):
    """The outputs of a file from a network's output."""
    head = Head.of(target, OutputConfig())
    Postprocessing().emit(g, head.emit(g, raw, scaling), target)


def one_network(steps, network, scaling=None):
    """The model of one network, ``network(g, tensors)``."""
    head = Head.of(steps.schema.target, OutputConfig())
    emit = lambda g, tensors: NetworkValues(output=network(g, tensors))  # noqa: E731
    return assemble([NetworkPart(preprocessing=steps, emit=emit, head=head, scaling=scaling)], Postprocessing())
