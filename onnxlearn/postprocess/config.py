"""The settings of what a model predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from onnxlearn.effects import GIVEN, Values
from onnxlearn.errors import ParameterError, listing
from onnxlearn.measures import Needs, all_measures
from onnxlearn.params import param
from onnxlearn.schema import Target

HeadKind: TypeAlias = Literal["point", "quantile", "normal"]
# The measures of labels that are best where both classes are predicted, each under one name.
ThresholdMeasure: TypeAlias = Literal["acc", "ce", "bacc", "f1", "precision", "recall", "jaccard", "mcc", "kappa"]

# What the others judge.
UNCHANGED: dict[Needs, str] = {
    "labels": "it is another name of one of these, or best where one class alone is predicted",
    "prob": "it scores probabilities, which no threshold changes",
    "sets": "it scores sets of classes, which no threshold changes",
    "run": "it scores what a run took, which no threshold changes",
    **dict.fromkeys(("numbers", "intervals", "quantiles", "std"), "it scores numbers, not labels"),
}
NO_LABELS = {
    measure.name: UNCHANGED[measure.needs] for measure in all_measures() if measure.name not in get_args(ThresholdMeasure)
}

DEFAULT_QUANTILES = (0.05, 0.5, 0.95)
MEDIAN = 0.5
DEFAULT_CALIBRATION = 0.15
# As a threshold.
A_MEASURE = Values(" a measure", lambda threshold: isinstance(threshold, str))


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What a model predicts beyond labels, probabilities and numbers, and how that is calibrated.

    What is calibrated is calibrated on a share of the rows that is used neither for training nor for choosing the epoch.
    """

    head: HeadKind = param("point", "what is predicted, a number, quantiles, or mean and standard deviation", on="regression")
    quantiles: tuple[float, ...] = param(
        DEFAULT_QUANTILES, "the quantiles that are predicted, the median among them", when={"head": "quantile"}, on="regression"
    )
    temperature: bool = param(
        False, "make probabilities as sure as they are right on the calibration rows", on="classification"
    )
    threshold: float | ThresholdMeasure | None = param(
        None,
        "predict the positive class from this probability on; a number, or the measure that is made best on the "
        "calibration rows (None: the more probable class)",
        low=0,
        low_open=True,
        high=1,
        high_open=True,
        refused=NO_LABELS,
        on="two classes",
    )
    coverage: float | None = param(
        None,
        "add intervals (regression) or sets of classes that hold the truth with at least this probability; a set always has "
        "the predicted class",
        low=0,
        low_open=True,
        high=1,
        high_open=True,
    )
    calibration: float = param(
        DEFAULT_CALIBRATION,
        "share of the rows set aside for what is calibrated",
        low=0,
        low_open=True,
        high=1,
        high_open=True,
        when=({"coverage": GIVEN}, {"temperature": True}, {"threshold": A_MEASURE}),
    )

    def __post_init__(self) -> None:
        _require_quantiles(self.quantiles)

    @property
    def calibrates(self) -> tuple[str, ...]:
        """The settings asked for that need calibration rows."""
        asked = {
            "temperature": self.temperature,
            "threshold": isinstance(self.threshold, str),
            "coverage": self.coverage is not None,
        }
        return tuple(name for name, needed in asked.items() if needed)

    @property
    def needs_calibration(self) -> bool:
        """Whether rows have to be set aside for calibration."""
        return bool(self.calibrates)

    def require(self, target: Target) -> None:
        """Raise ``ParameterError`` where a setting does not suit what is predicted."""
        if target.type == "regression":
            self._require_numbers(target)
        else:
            self._require_classes(target)

    def _require_numbers(self, target: Target) -> None:
        for name in ("temperature", "threshold"):
            if getattr(self, name):
                raise ParameterError(
                    f"{name}={getattr(self, name)!r} is for classes, the target {listing(target.names)} has numbers: leave it "
                    f"out{_other_type(target, 'classification')}"
                )

    def _require_classes(self, target: Target) -> None:
        if self.head != "point":
            raise ParameterError(
                f"head={self.head!r} is for numbers, the target {target.name!r} has classes: leave it out"
                f"{_other_type(target, 'regression')}"
            )
        if self.threshold is not None and len(target.classes) != 2:
            raise ParameterError(
                f"threshold={self.threshold!r} is for two classes, the target {target.name!r} has {len(target.classes)}: "
                "leave it out, or predict one class against the rest"
            )


def _other_type(target: Target, type: str) -> str:
    """The other way out, for a target that can be of either type: one column of integers."""
    suits_both = target.dtype == "int64" and len(target.names) == 1
    return f", or make the task with type={type!r} (--task {type})" if suits_both else ""


def _require_quantiles(quantiles: tuple[float, ...]) -> None:
    fits = all(0 < level < 1 for level in quantiles) and list(quantiles) == sorted(set(quantiles))
    if not fits or MEDIAN not in quantiles:
        raise ParameterError(
            "quantiles have to lie between 0 and 1, in ascending order, each once, with 0.5, which is the prediction; not "
            f"{quantiles}: for example {DEFAULT_QUANTILES}"
        )
