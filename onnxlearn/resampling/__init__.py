"""Resampling: which rows to train on and which to test, made once for a task and used by every learner."""

from onnxlearn.resampling.bootstrap import Bootstrap
from onnxlearn.resampling.cross_validation import CV
from onnxlearn.resampling.custom import Custom, CustomCV
from onnxlearn.resampling.holdout import Holdout, Subsampling
from onnxlearn.resampling.lost import ResamplingWarning
from onnxlearn.resampling.nested import Nested
from onnxlearn.resampling.resampling import Resampling
from onnxlearn.resampling.splits import Splits
from onnxlearn.resampling.time_series import TimeSeriesSplit
from onnxlearn.resampling.whole import InSample, LeaveOneOut

__all__ = [
    "CV",
    "Bootstrap",
    "Custom",
    "CustomCV",
    "Holdout",
    "InSample",
    "LeaveOneOut",
    "Nested",
    "Resampling",
    "ResamplingWarning",
    "Splits",
    "Subsampling",
    "TimeSeriesSplit",
]
