"""A model folder of MLflow, written by MLflow itself."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from onnxlearn.errors import MissingExtraError, ParityError
from onnxlearn.export.target import OUT, Target
from onnxlearn.graph.hostile import EVERY_KIND, hostile_feeds
from onnxlearn.params import param
from onnxlearn.remarks import kept
from onnxlearn.runtime import open_session
from onnxlearn.schema import MISSING_INT64, Column, Schema
from onnxlearn.session import run_chunked
from onnxlearn.wire.examples import example_feeds, example_rows
from onnxlearn.wire.feeds import Feeds
from onnxlearn.wire.form import Form

if TYPE_CHECKING:
    import pandas as pd

    from onnxlearn.model import Model

LOADER = "onnxlearn.hosts.mlflow"
# Microseconds of the first and the last moment of the years 1 to 9999.
_YEARS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
_OUTPUT_TYPES = {"f": "double", "i": "long", "b": "boolean", "O": "string"}


@dataclass(frozen=True, kw_only=True)
class MLflowFolder(Target):
    """Target ``mlflow``: signature, input example and requirements beside the file.

    ``table``: data frames in and out, each value checked as onnxlearn does; the server needs ``onnxlearn[cpu]``.
    ``tensors``: MLflow's own flavour ``onnx``, a dict of arrays ``[N, 1]``; the server needs onnx and onnxruntime.
    """

    meaning: ClassVar[str] = "an MLflow model folder with signature and input example, for mlflow models serve"
    is_folder: ClassVar[bool] = True

    takes: Literal["table", "tensors"] = param(
        "table", "data frames, checked by onnxlearn, or arrays, by MLflow's flavour onnx"
    )

    def write(self, model: Model, out: Path) -> list[str]:
        """Let MLflow write the folder, and load it again."""
        with _quiet_mlflow() as mlflow:
            (_write_table if self.takes == "table" else _write_tensors)(mlflow, model, out)
        return [
            f"serve it: pip install 'onnxlearn[mlflow]' && mlflow models serve --env-manager local --model-uri {OUT}",
            f"ask it: curl -H 'Content-Type: application/json' -d @{OUT}/serving_input_example.json localhost:5000/invocations",
        ]


def _write_table(mlflow: Any, model: Model, out: Path) -> None:
    import pandas as pd

    with tempfile.TemporaryDirectory(prefix="onnxlearn-") as folder:
        file = Path(folder, "model.onnx")
        file.write_bytes(model.to_bytes())
        mlflow.pyfunc.save_model(
            out,
            loader_module=LOADER,
            data_path=str(file),
            signature=_table_signature(model),
            input_example=pd.DataFrame(example_rows(model.schema)),
            pip_requirements=[f"onnxlearn[cpu]=={version('onnxlearn')}"],
            metadata={"columns": {column.name: f"{column.kind} ({column.dtype})" for column in model.schema.features}},
        )
    feeds = carried(hostile_feeds(model.schema, EVERY_KIND), model.schema)
    expected = model.to_prediction(model.predict_feeds(feeds)).to_frame()
    # Of these rows there is nothing to tell.
    with kept():
        got = mlflow.pyfunc.load_model(str(out)).predict(table_of(feeds, model.schema))
    if not got.equals(expected):
        raise ParityError("the MLflow folder gives other predictions than the model")


def _table_signature(model: Model) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Signature

    columns = model.to_prediction(model.predict_feeds(example_feeds(model.schema))).to_columns()
    return ModelSignature(
        inputs=Signature([ColSpec(_column_type(column), column.name) for column in model.schema.features]),
        outputs=Signature([ColSpec(_OUTPUT_TYPES[array.dtype.kind], name) for name, array in columns.items()]),
    )


def _column_type(column: Column) -> Any:
    """MLflow's type where it casts nothing that the model would refuse, else its type for anything.

    MLflow makes 3 of 3.7 in a column of type long, False of a missing boolean, and a date of text in any spelling.
    """
    from mlflow.types.schema import AnyType

    if column.onnx_type == "STRING":
        return "string"
    return "double" if column.kind == "numeric" and column.dtype != "int64" else AnyType()


def carried(feeds: Feeds, schema: Schema) -> Feeds:
    """Feeds that arrive in a table as they were: dates with a time zone are of the years 1 to 9999.

    MLflow makes each column of its type ``any`` anew of Python objects, and of such a date beyond pandas makes another one
    (pandas 3.0: ``pd.Series([pd.Timestamp(2**60, unit="us", tz="UTC")])``), which nobody can tell from one that was sent.
    """
    zoned = {column.name for column in schema.features if column.dtype == "utc"}
    return {name: _in_years(array) if name in zoned else array for name, array in feeds.items()}


def _in_years(dates: Any) -> Any:
    return np.where(dates == MISSING_INT64, dates, dates.clip(*_YEARS))


def table_of(feeds: Feeds, schema: Schema) -> pd.DataFrame:
    """Feeds as the data frame that they could have been, durations in seconds."""
    import pandas as pd

    return pd.DataFrame({column.name: _series(feeds[column.name][:, 0], column) for column in schema.features})


def _series(values: Any, column: Column) -> Any:
    import pandas as pd

    if column.kind == "datetime":
        dates = pd.Series(values.astype("datetime64[us]"))
        return dates.dt.tz_localize("UTC") if column.dtype == "utc" else dates
    if column.onnx_type == "INT64":
        return pd.Series(values, dtype="Int64").mask(values == MISSING_INT64)
    if column.kind == "boolean":
        dtype: Any = "boolean" if column.dtype == "bool" else "Int64"
        return pd.Series(np.nan_to_num(values)).astype(dtype).mask(np.isnan(values.astype(np.float64)))
    return values


def _write_tensors(mlflow: Any, model: Model, out: Path) -> None:
    try:
        import onnx
        from mlflow.onnx import save_model
    except ImportError as error:
        raise MissingExtraError.of("onnx", "mlflow", "a folder of MLflow's flavour onnx") from error
    from mlflow.models import ModelSignature

    session = open_session(model.to_bytes(), "cpu", chunk_rows=model.chunk_rows)
    form = Form.of(model.metadata)
    feeds = form.arrange(example_feeds(model.schema), model.schema)
    save_model(
        onnx.load_from_string(model.to_bytes()),
        out,
        signature=ModelSignature(inputs=_tensor_specs(feeds), outputs=_tensor_specs(run_chunked(session, feeds))),
        input_example=_as_text(feeds),
        pip_requirements=["onnx", "onnxruntime"],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
    feeds = form.arrange(hostile_feeds(model.schema, EVERY_KIND), model.schema)
    expected = run_chunked(session, feeds)
    got = mlflow.pyfunc.load_model(str(out)).predict(_as_text(feeds))
    if not all(np.array_equal(got[name], array, equal_nan=array.dtype.kind == "f") for name, array in expected.items()):
        raise ParityError("the MLflow folder gives other outputs than the model")


def _tensor_specs(arrays: Mapping[str, Any]) -> Any:
    from mlflow.types import Schema as Signature
    from mlflow.types import TensorSpec

    return Signature(
        [
            TensorSpec(np.dtype(str) if array.dtype == object else array.dtype, (-1, *array.shape[1:]), name)
            for name, array in arrays.items()
        ]
    )


def _as_text(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays of text of numpy's own type, which is the one that MLflow has a word for."""
    return {name: array.astype(str) if array.dtype == object else array for name, array in arrays.items()}


@contextlib.contextmanager
def _quiet_mlflow() -> Iterator[Any]:
    """MLflow without what it tells of each step and warns of its own types and of ours, of which nobody can do anything."""
    with warnings.catch_warnings(action="ignore"):
        try:
            import mlflow.pyfunc
        except ImportError as error:
            raise MissingExtraError.of("mlflow", "mlflow", "a model folder of MLflow") from error
        # Importing it sets this level.
        logger = logging.getLogger("mlflow")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield mlflow
        finally:
            logger.setLevel(level)
