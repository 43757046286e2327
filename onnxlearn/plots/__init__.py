"""Plots of results and predictions: each function draws on an Axes and gives it back.

Without ``ax`` it makes a figure of a fitting size, ``axes.figure``, that nothing else knows of: ``savefig`` writes it, and a
notebook shows it. They take what ``ol.resample`` or ``ol.benchmark`` gave, or a Prediction with its truth; those of a search
what ``ol.tune`` gave. Needs the extra ``plot``.
"""

from onnxlearn.plots.classes import calibration, confusion
from onnxlearn.plots.curves import precision_recall, roc
from onnxlearn.plots.numbers import prediction_truth, residuals
from onnxlearn.plots.points import parallel_coordinates, slices
from onnxlearn.plots.scores import box, critical_difference
from onnxlearn.plots.search import optimization_history, parameter_importance, pareto_front
from onnxlearn.plots.training import learning_curves

__all__ = [
    "box",
    "calibration",
    "confusion",
    "critical_difference",
    "learning_curves",
    "optimization_history",
    "parallel_coordinates",
    "parameter_importance",
    "pareto_front",
    "precision_recall",
    "prediction_truth",
    "residuals",
    "roc",
    "slices",
]
