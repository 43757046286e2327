"""What a file makes of the (averaged) outputs of its networks: labels, and what is calibrated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder, Value
from onnxlearn.postprocess.config import OutputConfig
from onnxlearn.postprocess.conformal import Intervals, Sets, require_rows
from onnxlearn.postprocess.rows import counts
from onnxlearn.postprocess.temperature import COLDEST, HOTTEST, emit_tempered, fit_temperature, tempered
from onnxlearn.postprocess.threshold import fit_threshold
from onnxlearn.schema import Target

Array = np.ndarray[Any, np.dtype[Any]]

_TOO_COLD = (
    f"the temperature is the least there is, {COLDEST:g}: on the calibration rows the network is right far more often than it "
    "says; more epochs would help"
)
_TOO_HOT = (
    f"the temperature is the largest there is, {HOTTEST:g}: on the calibration rows the network is wrong where it is sure; "
    "more rows or fewer epochs would help"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Postprocessing:
    """The step from a head's outputs to those of the file; without any field set it only finds the label.

    ``levels`` are those of the output ``quantiles``; the positive class is predicted from ``threshold`` on; ``intervals`` or
    ``sets`` have the ``coverage``.
    """

    levels: tuple[float, ...] = ()
    temperature: float | None = None
    threshold: float | None = None
    coverage: float | None = None
    intervals: Intervals | None = None
    sets: Sets | None = None

    @classmethod
    def fit(
        cls,
        config: OutputConfig,
        target: Target,
        outputs: Mapping[str, Array] | None = None,
        truth: Array | None = None,
        weights: Array | None = None,
        groups: Array | None = None,
    ) -> Postprocessing:
        """Fit what the settings ask for on calibration rows, which may be left out where they ask for nothing.

        ``outputs`` of :meth:`onnxlearn.postprocess.heads.Head.apply`, averaged over networks; ``truth`` int64 ``[n]``
        positions in the classes, or float64 ``[n, T]``; ``weights`` float64 ``[n]``; ``groups`` int64 ``[n]``, of which
        each counts as one row for the coverage.

        Raises: ParameterError where a setting does not suit the target, or there are too few rows for the coverage; DataError
        where the rows weigh nothing.
        """
        config.require(target)
        plain = cls.plain(config)
        if not config.needs_calibration:
            return plain
        assert outputs is not None, "calibration needs rows"
        assert truth is not None, "calibration needs rows"
        require_calibration_rows(config, target, truth, weights, groups)
        by_row, by_group = counts(len(truth), weights), counts(len(truth), weights, groups)
        kept = by_row > 0
        outputs, truth = {name: array[kept] for name, array in outputs.items()}, truth[kept]
        by_row, by_group = by_row[kept], by_group[kept]
        if target.type == "classification":
            fitted = _fit_classes(config, target, np.asarray(outputs["probabilities"], np.float64), truth, by_row, by_group)
        else:
            assert config.coverage is not None, "nothing else is calibrated in regression"
            fitted = {"intervals": Intervals.fit(outputs, truth, by_group, config.coverage, plain.levels)}
        return dataclasses.replace(plain, coverage=config.coverage, **fitted)

    @classmethod
    def plain(cls, config: OutputConfig) -> Postprocessing:
        """What the settings ask for without any calibration."""
        return cls(
            levels=config.quantiles if config.head == "quantile" else (),
            threshold=config.threshold if isinstance(config.threshold, float) else None,
        )

    def apply(self, outputs: Mapping[str, Array], target: Target) -> dict[str, Array]:
        """The outputs of the file, the label as position of the class, from a head's (averaged) outputs."""
        if "probabilities" not in outputs:
            return {**outputs, **(self.intervals.apply(outputs) if self.intervals else {})}
        before = outputs["probabilities"]
        after = before if self.temperature is None else tempered(before, self.temperature)
        made = {"probabilities": after.astype(np.float32)}
        made["label"] = self._label(made["probabilities"], target)
        if self.sets:
            made["set"] = self.sets.apply(before, made["label"])
        return made

    def certain(self, outputs: Mapping[str, Array], target: Target, tolerance: float) -> dict[str, Array]:
        """For each of the file's outputs that is a choice: where no difference up to ``tolerance`` would change it.

        Differences of probabilities; ``label`` bool ``[N]``, ``set`` bool ``[N, C]``.
        """
        if "probabilities" not in outputs:
            return {}
        probabilities = self.apply(outputs, target)["probabilities"].astype(np.float64)
        if self.threshold is None:
            best = np.sort(probabilities, axis=1)[:, -2:]
            distance = best[:, 1] - best[:, 0]
        else:
            distance = np.abs(probabilities[:, _positive(target)] - self.threshold)
        masks = {"label": distance > tolerance}
        if self.sets:
            masks["set"] = self.sets.certain(outputs["probabilities"], masks["label"], tolerance)
        return masks

    def emit(self, g: GraphBuilder, outputs: Mapping[str, Value], target: Target) -> None:
        """Declare the outputs of the file: ``label`` and ``probabilities`` or ``prediction`` first."""
        with g.scope("post"):
            if "probabilities" not in outputs:
                made = {**outputs, **(self.intervals.emit(g, outputs) if self.intervals else {})}
            else:
                before = outputs["probabilities"]
                after = before if self.temperature is None else emit_tempered(g, before, self.temperature)
                label = self._emit_label(g, after, target)
                made = {"label": _emit_name(g, label, target), "probabilities": after}
                if self.sets:
                    made["set"] = self.sets.emit(g, before, label, len(target.classes))
        for name, value in made.items():
            self._declare(g, name, value, target)

    def to_dict(self) -> dict[str, Any]:
        """What the metadata's ``training.calibration`` says of it: nothing where nothing was asked for."""
        names = ("temperature", "threshold", "coverage")
        fitted = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        for part in (self.intervals, self.sets):
            fitted |= part.to_dict() if part else {}
        return fitted

    def axes(self) -> dict[str, list[Any]]:
        """For the metadata's ``outputs``: what stands along the last axis of an output, where the schema does not tell."""
        return {"quantiles": list(self.levels)} if self.levels else {}

    def notes(self) -> tuple[str, ...]:
        """What the model's notes say of the fit."""
        if self.temperature is None or COLDEST * (1 + 1e-6) < self.temperature < HOTTEST * (1 - 1e-6):
            return ()
        return (_TOO_COLD if self.temperature < 1 else _TOO_HOT,)

    def _label(self, probabilities: Array, target: Target) -> Array:
        if self.threshold is None:
            return np.asarray(probabilities.argmax(axis=1))
        positive = _positive(target)
        reached = probabilities[:, positive] >= np.float32(self.threshold)
        return np.where(reached, positive, 1 - positive)

    def _emit_label(self, g: GraphBuilder, probabilities: Value, target: Target) -> Value:
        if self.threshold is None:
            return g.op("ArgMax", probabilities, axis=1, keepdims=0)
        positive = _positive(target)
        probability = g.op("Gather", probabilities, g.const(np.int64(positive)), axis=1)
        reached = g.op("GreaterOrEqual", probability, g.const(np.float32(self.threshold)))
        return g.op("Where", reached, g.const(np.int64(positive)), g.const(np.int64(1 - positive)))

    def _declare(self, g: GraphBuilder, name: str, value: Value, target: Target) -> None:
        if name == "label":
            g.output(value, name, "STRING" if target.dtype == "str" else "INT64", ["N"])
            return
        shape: list[int | str] = ["N", target.n_outputs]
        if name == "quantiles":
            shape.append(len(self.levels) or "Q")
        g.output(value, name, {"probabilities": "FLOAT", "set": "BOOL"}.get(name, "DOUBLE"), shape)


def require_calibration_rows(
    config: OutputConfig, target: Target, truth: Array, weights: Array | None = None, groups: Array | None = None
) -> None:
    """Raise what :meth:`Postprocessing.fit` would raise for these calibration rows: to be asked before training.

    Raises: ParameterError for too few rows, or none of one of two classes that a threshold is to part; DataError.
    """
    counted = counts(len(truth), weights, groups)
    if config.coverage is not None:
        n_groups = None if groups is None else len(np.unique(groups))
        require_rows(config.coverage, float(counted.sum()), len(truth), n_groups)
    if isinstance(config.threshold, str):
        occurs = np.bincount(truth[counted > 0], minlength=len(target.classes)) > 0
        for label, there in zip(target.classes, occurs, strict=True):
            if not there:
                rows = f"there are {len(truth)}" if len(truth) > 1 else "there is 1"
                raise ParameterError(
                    f"threshold={config.threshold!r} parts the classes by calibration rows of both; {rows} and none of class "
                    f"{label!r}: give more rows, a larger share (calibration=), or a number as threshold"
                )


def _fit_classes(
    config: OutputConfig, target: Target, probabilities: Array, truth: Array, by_row: Array, by_group: Array
) -> dict[str, Any]:
    """``by_row``, ``by_group``: what each row counts; groups tell for the coverage alone, a measure is one of rows."""
    fitted: dict[str, Any] = {}
    after = probabilities
    if config.temperature:
        fitted["temperature"] = fit_temperature(probabilities, truth, by_row)
        after = tempered(probabilities, fitted["temperature"])
    if isinstance(config.threshold, str):
        positive = _positive(target)
        fitted["threshold"] = fit_threshold(after[:, positive], truth == positive, by_row, config.threshold)
    if config.coverage is not None:
        # On the probabilities before the temperature, which was fitted on the same rows.
        fitted["sets"] = Sets.fit(probabilities, truth, by_group, config.coverage)
    return fitted


def _positive(target: Target) -> int:
    assert target.positive is not None, "two classes have a positive one"
    return target.classes.index(target.positive)


def _emit_name(g: GraphBuilder, position: Value, target: Target) -> Value:
    """The classes at these positions: STRING, or INT64 where they are integers or booleans."""
    classes = np.array(target.classes, object if target.dtype == "str" else np.int64)
    # A label that is its own position needs no look-up.
    named = classes.tolist() != list(range(len(classes)))
    return g.op("Gather", g.const(classes, "classes"), position, axis=0) if named else position
