"""Runs for MLflow."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import MissingExtraError
from onnxlearn_models.training.callback import State
from onnxlearn_models.training.callbacks.named import register
from onnxlearn_models.training.callbacks.tracker import Numbers, Tracker, file_scores, grouped

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from onnxlearn.model import Model
    from onnxlearn_models.training.loop import Training

# What MLflow takes at once.
MOST_METRICS, MOST_PARAMS, LONGEST_PARAM = 1000, 100, 6000


@register("mlflow")
class MLflow(Tracker):
    """Makes a run in MLflow: parameters, losses, scores and learning rate of each epoch, scores of the file.

    ``uri``: the server, or a database such as ``sqlite:///mlflow.db`` (``None``: as MLflow is set up); ``experiment``: the
    experiment (``None``: called like the task). ``model``: the file is put to the run too. Inside a run that was begun by
    ``mlflow.start_run`` it is one below that. ``steps``: curves over steps too. Needs the package mlflow or mlflow-skinny.
    """

    def __init__(
        self, uri: str | None = None, experiment: str | None = None, *, model: bool = False, steps: bool = False
    ) -> None:
        super().__init__(steps=steps)
        self.uri, self.experiment, self.model = uri, experiment, model
        self.run_id = ""

    def open(self, ctx: Training) -> None:
        """Begin the run, or go on with it."""
        exceptions, _ = _import_mlflow()
        # What goes wrong later must not end the training.
        self.errors = (*Tracker.errors, exceptions.MlflowException)
        self.goes_on = bool(self.run_id) and self._is_there()
        if self.goes_on:
            self._client().update_run(self.run_id, status="RUNNING")
        else:
            self._begin(ctx)

    def write_steps(self, rows: Sequence[tuple[int, Numbers]]) -> None:
        """As metrics."""
        self._metrics((f"step/{name}", value, step) for step, values in rows for name, value in values.items())

    def write_epoch(self, epoch: int, values: Numbers) -> None:
        """As metrics."""
        self._metrics((grouped(name), value, epoch) for name, value in values.items())

    def close(self, ctx: Training, *, failed: bool) -> None:
        """End the run."""
        if not self.run_id:
            return
        self._client().set_tag(self.run_id, "stopped", "failed" if failed else ctx.stopped or "max_epochs")
        if ctx.keeper.kept_epoch:
            self._metrics([("best_epoch", float(ctx.keeper.kept_epoch), 0)])
        self._client().set_terminated(self.run_id, "FAILED" if failed else "FINISHED")

    def write_scores(self, model: Model) -> None:
        """Put scores, and the file where that is asked for, to the run, which is over."""
        self._metrics((name, value, 0) for name, value in file_scores(model).items())
        if self.model:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                model.save(path)
                self._client().log_artifact(self.run_id, str(path))

    def state(self) -> State:
        """Which run it is."""
        return {"run_id": self.run_id, "uri": self.uri, "experiment": self.experiment}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with it, unless it is to be in another place now."""
        if (state["uri"], state["experiment"]) == (self.uri, self.experiment):
            self.run_id = state["run_id"]

    def _is_there(self) -> bool:
        """Whether the run has not been deleted since."""
        exceptions, _ = _import_mlflow()
        try:
            return bool(self._client().get_run(self.run_id).info.lifecycle_stage == "active")
        except exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def _begin(self, ctx: Training) -> None:
        from mlflow import active_run
        from mlflow.entities import Param

        client, info = self._client(), ctx.info
        tags = {"mlflow.runName": info.name, "task": info.task, "learner": info.learner}
        if info.parts:
            tags["parts"] = ", ".join(info.parts)
        if (parent := active_run()) is not None:
            tags["mlflow.parentRunId"] = parent.info.run_id
        self.run_id = client.create_run(self._experiment_id(info.task), tags=tags).info.run_id
        values = {"learner": info.learner, **info.params, **info.chosen}
        params = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in values.items()]
        for start in range(0, len(params), MOST_PARAMS):
            client.log_batch(self.run_id, params=params[start : start + MOST_PARAMS])

    def _experiment_id(self, task: str) -> str:
        exceptions, _ = _import_mlflow()
        name, client = self.experiment or task, self._client()
        if (found := client.get_experiment_by_name(name)) is None:
            try:
                return str(client.create_experiment(name))
            except exceptions.MlflowException:
                # Another process was faster; or there is another reason, which this raises.
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _metrics(self, points: Iterable[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value, step in points]
        for start in range(0, len(metrics), MOST_METRICS):
            self._client().log_batch(self.run_id, metrics=metrics[start : start + MOST_METRICS])

    def _client(self) -> MlflowClient:
        # MLflow keeps the connection; a client would not go to another process.
        return _import_mlflow()[1](self.uri)


def _import_mlflow() -> tuple[Any, type[MlflowClient]]:
    try:
        from mlflow import MlflowClient, exceptions
    except ImportError as error:
        raise MissingExtraError.of("mlflow-skinny", "track", "callback 'mlflow'") from error
    return exceptions, MlflowClient
