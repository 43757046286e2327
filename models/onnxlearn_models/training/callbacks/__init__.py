"""What stands beside the steps of a training: one file for each kind.

``@register("name")`` on a subclass of :class:`Callback` makes it one that every learner takes by that name.
"""

from onnxlearn_models.training.callback import STAGES, Callback
from onnxlearn_models.training.callbacks.averaged import MovingAverage
from onnxlearn_models.training.callbacks.clipping import GradientClipping
from onnxlearn_models.training.callbacks.early_stopping import EarlyStopping
from onnxlearn_models.training.callbacks.fading import FadingDropout
from onnxlearn_models.training.callbacks.history_file import HistoryFile
from onnxlearn_models.training.callbacks.mlflow import MLflow
from onnxlearn_models.training.callbacks.named import CALLBACKS, callback_of, register
from onnxlearn_models.training.callbacks.step_history import StepHistory
from onnxlearn_models.training.callbacks.stochastic_average import StochasticAverage
from onnxlearn_models.training.callbacks.tensorboard import TensorBoard
from onnxlearn_models.training.callbacks.time_budget import TimeBudget
from onnxlearn_models.training.callbacks.tracker import Tracker
from onnxlearn_models.training.callbacks.unfreeze import Unfreeze

__all__ = [
    "CALLBACKS",
    "STAGES",
    "Callback",
    "EarlyStopping",
    "FadingDropout",
    "GradientClipping",
    "HistoryFile",
    "MLflow",
    "MovingAverage",
    "StepHistory",
    "StochasticAverage",
    "TensorBoard",
    "TimeBudget",
    "Tracker",
    "Unfreeze",
    "callback_of",
    "register",
]
