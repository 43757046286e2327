"""The keys of a design file, each with its type, range and meaning; nothing is ever made of these classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from onnxlearn.params import param


@dataclass(frozen=True, kw_only=True)
class TopKeys:
    """What is said once for all, above the first table of the file."""

    measures: str | tuple[str, ...] = param((), "names of measures; if not given the usual ones of each task")
    seed: int = param(None, "seed of the learners and resamplings that name none", low=0)
    time_limit: float = param(None, "seconds for each fit; a longer one is a failed one", low=0, low_open=True)
    fallback: str | dict[str, Any] = param(None, "learner that predicts where another one failed")
    store: str = param(None, "folder that keeps the results")
    predictions: bool = param(True, "whether predictions are kept")
    models: bool = param(False, "whether models are kept")
    histories: bool = param(True, "whether training curves are kept")


@dataclass(frozen=True, kw_only=True)
class TaskKeys:
    """What is said of a task: where its table is, and the arguments of :meth:`onnxlearn.Task.from_file`."""

    data: str = param("", "file, from the design file's folder, or example:NAME")
    target: str | tuple[str, ...] = param(None, "column to predict; several for several numbers; an example has its own")
    format: str = param(None, "csv, tsv, jsonl, parquet or feather, where the suffix does not say")
    na: tuple[str, ...] = param(None, "cells that mean missing, instead of the usual spellings")
    type: Literal["auto", "classification", "regression"] = param("auto", "instead of telling it from the target's values")
    positive: Any = param(None, "positive one of two classes, instead of the second")
    kinds: dict[str, str] = param(None, "kinds of columns, instead of telling them from the values")
    levels: dict[str, list[Any]] = param(None, "levels of ordered columns, lowest first")
    group: str = param(None, "column whose rows stay together when rows are split")
    stratum: str | tuple[str, ...] = param(None, "columns whose shares are kept when rows are split")
    weight: str = param(None, "column with the weights of the rows")
    order: str = param(None, "column by which splits set the latest rows aside")
    id: str | tuple[str, ...] = param(None, "columns that name the rows and are no features")
    ignore: str | tuple[str, ...] = param((), "columns that are no features")
    strict_bool: str | tuple[str, ...] = param((), "boolean columns that enter the file as BOOL")
    images: dict[str, Any] = param(None, "how images are read: folder, policy, channels, max_pixels, animated")


@dataclass(frozen=True, kw_only=True)
class CellKeys:
    """Which learners are run on which tasks by which resamplings: names, all if not given."""

    task: str | tuple[str, ...] = param((), "names of tasks")
    learner: str | tuple[str, ...] = param((), "names of learners")
    resampling: str | tuple[str, ...] = param((), "names of resamplings")
