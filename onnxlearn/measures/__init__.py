"""Measures of a prediction against the truth, in plain numpy; definitions as in scikit-learn unless said.

A measure takes row weights unless its summary says that they do not matter. A value is ``nan`` where the rows do not define it
(``undefined`` says when); rows are never left out.
"""

from onnxlearn.measures.base import Average, Measure, Needs, aggregate
from onnxlearn.measures.distributions import pinball
from onnxlearn.measures.intervals import winkler
from onnxlearn.measures.labels import costs, fbeta
from onnxlearn.measures.outcome import Array, Outcome, Run
from onnxlearn.measures.probabilities import ece, top_k
from onnxlearn.measures.registry import EXAMPLES, FAMILIES, MEASURES, all_measures, default_measures, get, resolve, score
from onnxlearn.measures.regression import rqr, tweedie

__all__ = [
    "EXAMPLES",
    "FAMILIES",
    "MEASURES",
    "Array",
    "Average",
    "Measure",
    "Needs",
    "Outcome",
    "Run",
    "aggregate",
    "all_measures",
    "costs",
    "default_measures",
    "ece",
    "fbeta",
    "get",
    "pinball",
    "resolve",
    "rqr",
    "score",
    "top_k",
    "tweedie",
    "winkler",
]
