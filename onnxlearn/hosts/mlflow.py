"""MLflow's way into a model: tables in, tables out. Loaded by MLflow itself.

The folder is written by ``onnxlearn export MODEL --to mlflow``; its ``MLmodel`` names this module. Interface:
https://mlflow.org/docs/latest/python_api/mlflow.pyfunc.html (a module with ``_load_pyfunc``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import DataError
from onnxlearn.model import Model, load
from onnxlearn.wire.examples import in_seconds
from onnxlearn.wire.feeds import frame_feeds

if TYPE_CHECKING:
    import pandas as pd


class TableModel:
    """A model as MLflow calls it.

    Durations come as seconds, which MLflow has a type for. What the model refuses is answered with 400 by a server.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._schema = in_seconds(model.schema)

    def predict(self, table: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002 - MLflow's
        """The predictions of a table, as :meth:`onnxlearn.Prediction.to_frame` gives them."""
        from mlflow.exceptions import INVALID_PARAMETER_VALUE, MlflowException

        try:
            feeds = frame_feeds(table, self._schema)
        except DataError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error
        return self.model.to_prediction(self.model.predict_feeds(feeds), row_ids=table.index.to_numpy()).to_frame()


def _load_pyfunc(path: str) -> TableModel:
    """What MLflow calls with the path of the model file."""
    return TableModel(load(Path(path)))
