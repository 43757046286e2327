"""From file to file in constant memory: batches of rows are read, predicted and written in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn import measures as _measures
from onnxlearn.errors import DataError, listing
from onnxlearn.files.outputs import atomic_path, require_other_file
from onnxlearn.files.tables import TableReader, open_table
from onnxlearn.files.writers import open_writer, output_suffix
from onnxlearn.images.feed import ruled
from onnxlearn.images.rules import USUAL_RULES, ImageRules, beside, rules_for_every_row, rules_of
from onnxlearn.images.skipping import readable
from onnxlearn.measures import Array, Measure
from onnxlearn.prediction import Prediction
from onnxlearn.remarks import told_together
from onnxlearn.wire.feeds import require_columns, require_features
from onnxlearn.wire.rows import known_truth, say_extra_columns

if TYPE_CHECKING:
    from onnxlearn.model import Model

BATCH_ROWS = 65_536


def predict_file(
    model: Model,
    data: str | Path,
    out: str | Path = "-",
    *,
    keep: Sequence[str] = (),
    format: str | None = None,
    images: ImageRules | Mapping[str, Any] | None = None,
) -> int:
    """Predict every row of a file and write one line each, in order; return the number of rows.

    ``out``: ``.csv``, ``.tsv``, ``.jsonl`` (also ``.gz``), ``.parquet``, ``.feather`` or ``.arrow``; ``-`` is standard output,
    as CSV. It appears whole or not at all. ``keep``: columns of the input to copy in front of the predictions. ``format``:
    of the input where its suffix does not tell. ``images``: how images are read; relative paths start in the file's folder.

    Raises: TableReadError, DataError, OutputError, MissingExtraError.
    """
    require_other_file(out, data)
    rules = beside(rules_for_every_row(images), data)
    suffix = output_suffix(out)
    names = [*keep, *_prediction_names(model, keep)]
    n_rows = 0
    with atomic_path(out) as temporary, open_table(data, format) as reader:
        _check_columns(model, reader, keep)
        with open_writer(temporary, names, suffix=suffix) as write:
            for batch in reader.batches(model.block_rows(BATCH_ROWS)):
                outputs = model.predict_feeds(ruled(batch.feeds(model.schema), rules, model.schema))
                prediction = model.to_prediction(outputs)
                write({**{name: batch.column(name) for name in keep}, **prediction.to_columns()})
                n_rows += len(prediction)
    return n_rows


def evaluate_file(
    model: Model,
    data: str | Path,
    *,
    measures: Sequence[str | Measure] = (),
    format: str | None = None,
    images: ImageRules | Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Score a model on a file that has the target: each measure's value by name, of the usual ones if none is named.

    Raises: as :func:`predict_file`, and UnknownNameError, ParameterError; DataError where the truth is not known.
    """
    chosen = _measures.resolve(measures, model.schema.target)
    return collect(model, data, format=format, need_truth=True, images=images).scores(chosen)


def collect(
    model: Model,
    data: str | Path,
    *,
    format: str | None = None,
    need_truth: bool = False,
    images: ImageRules | Mapping[str, Any] | None = None,
) -> Prediction:
    """Predict a file and keep the predictions, with the truth where the file has it.

    ``need_truth``: a ``DataError`` at the first rows without it.
    """
    rules = beside(rules_of(images) if need_truth else rules_for_every_row(images), data)
    with open_table(data, format) as reader, told_together():
        return predict_reader(model, reader, need_truth=need_truth, images=rules)


def predict_reader(
    model: Model, reader: TableReader, *, need_truth: bool = False, images: ImageRules = USUAL_RULES
) -> Prediction:
    """:func:`collect`, of a table that is open; rows whose images cannot be read are left out with ``policy="skip"``."""
    predictions: list[Prediction] = []
    _check_columns(model, reader, ())
    for batch in reader.batches(model.block_rows(BATCH_ROWS)):
        truth, weights, why = known_truth(model.schema, batch)
        if need_truth and truth is None:
            raise DataError(f"this cannot be scored: {why}")
        feeds = batch.feeds(model.schema)
        rows = readable(feeds, images) if images.policy == "skip" else slice(None)
        feeds = {name: feed[rows] for name, feed in feeds.items()}
        truth, weights = (each if each is None else each[rows] for each in (truth, weights))
        kept = dataclasses.replace(images, policy="error") if images.policy == "skip" else images
        outputs = model.predict_feeds(ruled(feeds, kept, model.schema))
        predictions.append(model.to_prediction(outputs, truth=truth, weights=weights, no_truth=why))
    if images.policy == "skip" and not any(map(len, predictions)):
        raise DataError("no image can be read, and the rule policy=skip of images leaves no row")
    return _joined(predictions)


def _joined(parts: Sequence[Prediction]) -> Prediction:
    """One prediction of all rows; it knows the truth where every part does."""
    unknown = next((part for part in parts if part.truth is None), None)

    def together(name: str) -> Any:
        arrays: list[Array | None] = [getattr(part, name) for part in parts]
        present = [array for array in arrays if array is not None]
        return np.concatenate(present) if len(present) == len(arrays) else None

    response = together("response")
    return Prediction(
        target=parts[0].target,
        row_ids=np.arange(len(response)),
        response=response,
        prob=together("prob"),
        truth=together("truth"),
        weights=together("weights"),
        no_truth=unknown.no_truth if unknown else "",
        further={name: np.concatenate([part.further[name] for part in parts]) for name in parts[0].further},
        axes=parts[0].axes,
    )


def _check_columns(model: Model, reader: TableReader, keep: Sequence[str]) -> None:
    require_features(model.schema, reader.columns)
    require_columns(keep, reader.columns, needed_by="--keep")
    say_extra_columns([name for name in reader.columns if name not in keep], model.schema)


def _prediction_names(model: Model, keep: Sequence[str]) -> list[str]:
    names = model.columns
    twice = [name for i, name in enumerate([*keep, *names]) if name in [*keep, *names][:i]]
    if twice:
        raise DataError(f"the output would have two columns {listing(twice)}: leave them out of --keep, or rename them before")
    return names
