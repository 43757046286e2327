"""The model: one ONNX file, what its metadata says, and a session that runs it. Torch-free."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from onnxlearn.errors import DataError, ModelFileError, OnnxlearnError, ParameterError
from onnxlearn.files.outputs import atomic_path
from onnxlearn.guard import MAX_BYTES, require_harmless
from onnxlearn.images.feed import ruled
from onnxlearn.images.rules import ImageRules, rules_for_every_row, rules_of
from onnxlearn.measures import Array, Measure
from onnxlearn.metadata import read_chunk_rows, read_metadata, read_schema
from onnxlearn.prediction import Prediction, class_array, column_names, one_row
from onnxlearn.providers import CPU_PROVIDER, Provider
from onnxlearn.remarks import told_together
from onnxlearn.runtime import open_session
from onnxlearn.schema import Schema
from onnxlearn.self_test import Verification, verify
from onnxlearn.session import CHUNK_ROWS, Session, block_rows_of, chunk_rows_of, run_chunked
from onnxlearn.signature import Output, check_inputs, read_outputs
from onnxlearn.wire.feeds import Feeds, frame_feeds, require_features, row_encoder, unique_column
from onnxlearn.wire.form import Form
from onnxlearn.wire.frames import series_array
from onnxlearn.wire.rows import Rows, known_truth, say_extra_columns
from onnxlearn.wire.values import row_place

if TYPE_CHECKING:
    import pandas as pd

    from onnxlearn.task import Task

Table: TypeAlias = "pd.DataFrame | Task | str | Path | Mapping[str, Sequence[object]] | Sequence[Mapping[str, object]]"

# Rows of a data frame converted at a time: enough for pandas to be quick, few enough for memory to stay flat.
BLOCK_ROWS = 65_536


def load(path: str | Path, *, provider: Provider = "auto", n_threads: int | None = None, trust: bool = False) -> Model:
    """Load a model file.

    ``provider``: ``auto``, ``cpu``, ``cuda`` or ``tensorrt`` (errors where there is no GPU to use); :class:`onnxlearn.Cuda` and
    :class:`onnxlearn.TensorRT` have settings for them. ``n_threads``: threads that share
    the rows of a big table, by default as many as this process may use cores. ``trust``: take operators too that no learner
    needs, loops among them (:func:`onnxlearn.guard.require_harmless`).

    Raises: ModelFileError, ProviderError, MissingExtraError.
    """
    if not isinstance(path, str | Path):
        raise ModelFileError(f"load takes the path of a file, not {type(path).__name__}; Model(data) opens bytes")
    return Model(_read(Path(path)), provider=provider, n_threads=n_threads, source=str(path), trust=trust)


class Model:
    """A fitted model: the bytes of its ``.onnx`` file, opened in ONNX Runtime.

    Predicting takes a data frame, a file (by suffix), a Task, a dict of columns or a list of rows. Columns are found by
    name; those that the model does not use are ignored, which is said once on stderr.

    ``out_of_fold``: where the model was just fitted by folds (learner ``bagging``), what the file of each fold predicted for
    the rows that it had not seen. It is no part of the file, which tells the scores of these predictions alone.
    ``callbacks``: where it was just fitted, those that its learner was given, as they are after the training; from another
    process those come along that can be pickled.
    """

    def __init__(
        self,
        data: bytes,
        *,
        provider: Provider = "auto",
        n_threads: int | None = None,
        source: str = "the model",
        trust: bool = False,
        session: Session | None = None,
    ) -> None:
        """Open a file's bytes; the arguments of :func:`load`. ``session``: one that runs these very bytes' graph already."""
        self._data = data
        self._options: dict[str, Any] = {"provider": provider, "n_threads": n_threads, "source": source, "trust": trust}
        self.metadata: dict[str, Any] = read_metadata(data, source=source, verify=session is None)
        self.schema: Schema = read_schema(self.metadata, source=source)
        if session is None:
            # A session that is there already has been made of these bytes in this process: nothing was passed on.
            require_harmless(data, trust=trust, source=source)
        chunk_rows = min(CHUNK_ROWS, read_chunk_rows(self.metadata, source=source) or CHUNK_ROWS)
        self._session = session or open_session(data, provider, n_threads, chunk_rows=chunk_rows)
        # A file rewritten for another runtime may take its columns packed, say; what is fed here is arranged for it.
        self._form = Form.of(self.metadata, source=source)
        check_inputs(self._session, self._form.inputs(self.schema), source)
        self.outputs: dict[str, Output] = read_outputs(
            self._session, self.schema, self.metadata.get("outputs", {}), source, labels=self.metadata.get("labels", "names")
        )
        self._names = list(self.outputs)
        self._axes = {name: output.axis for name, output in self.outputs.items()}
        # A file rewritten for runtimes without strings gives positions among the classes.
        self._classes = class_array(self.schema.target) if self.metadata.get("labels") == "indices" else None
        self._has_images = bool(self.schema.of_kind("image"))
        self._encode: Callable[[Mapping[str, object]], Feeds] = row_encoder(self.schema)
        self.out_of_fold: Prediction | None = None
        self.callbacks: tuple[Any, ...] = ()

    @property
    def providers(self) -> list[str]:
        """The execution providers of ONNX Runtime that run this model, the first one first."""
        return self._session.get_providers()

    @property
    def chunk_rows(self) -> int:
        """The most rows that are run at a time."""
        return self._session.chunk_rows

    @property
    def scores(self) -> dict[str, dict[str, float]]:
        """Scores computed by running this file: measure by name, for ``validation`` and ``test`` where there are such rows."""
        scores: dict[str, dict[str, float]] = self.metadata["training"].get("scores", {})
        return scores

    @property
    def history(self) -> pd.DataFrame:
        """Training losses, one row an epoch: the loop's own values, not computed by running the file.

        Of a file with several networks the column ``network`` counts them from 1.
        """
        import pandas as pd

        training = self.metadata["training"]
        if "members" not in training:
            return pd.DataFrame(training.get("history", {}))
        parts = [pd.DataFrame(member["history"]) for member in training["members"]]
        return pd.concat(
            [part.assign(network=i)[["network", *part.columns]] for i, part in enumerate(parts, 1)], ignore_index=True
        )

    def predict(self, table: Table, *, images: ImageRules | Mapping[str, Any] | None = None) -> Prediction:
        """Predict every row of a table, in order.

        ``table``: a data frame of pandas or Polars, any table or stream of batches that speaks Arrow, the path of a file or of
        a folder of files, a dict of columns, rows as dicts, or a task.

        Where the table has the target too, the prediction knows the truth and can be scored. ``images``: how images are read,
        an :class:`onnxlearn.ImageRules` or a mapping, whose policy is not ``skip``: every row is predicted; those of a task are
        read by its own.

        Raises: ColumnNotFoundError, DataTypeError and other DataErrors where the table does not fit the schema.
        """
        with told_together():
            return self._predict(table, rules_for_every_row(images))

    def _predict(self, table: Table, rules: ImageRules, *, need_truth: bool = False) -> Prediction:
        if isinstance(table, str | Path):
            from onnxlearn.files.stream import collect

            return collect(self, table, images=rules, need_truth=need_truth)
        from onnxlearn.task import Task

        if isinstance(table, Task):
            return self._predict_task(table)
        if _speaks_arrow(table):
            from onnxlearn.files.arrow import ArrowTable
            from onnxlearn.files.stream import predict_reader

            return predict_reader(self, ArrowTable(table), images=rules)
        frame = as_frame(table)
        if rules.policy == "skip":
            return self._predict_frame(self._readable(frame, rules), dataclasses.replace(rules, policy="error"))
        return self._predict_frame(frame, rules)

    def _readable(self, frame: pd.DataFrame, rules: ImageRules) -> pd.DataFrame:
        """The rows whose images can be read. Raises: DataError where there are none."""
        from onnxlearn.images.skipping import readable

        require_features(self.schema, frame.columns)
        images = {
            column.name: series_array(unique_column(frame, column.name), column) for column in self.schema.of_kind("image")
        }
        rows = readable(images, rules) if images else np.arange(len(frame))
        if len(frame) and not len(rows):
            raise DataError("no image can be read, and the rule policy=skip of images leaves no row")
        return frame.iloc[rows]

    def predict_one(self, row: Mapping[str, object], *, images: ImageRules | Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Predict one row given as a dict of every feature; ``None`` is a missing value, other keys are ignored.

        Gives ``{"label": ..., "probabilities": {class: ...}}``, or ``{"prediction": number}`` (a dict for several targets),
        and what else the file gives: ``set`` (a list of classes), ``lower``, ``upper``, ``std``, ``quantiles`` (a dict) ...
        ``images`` as in :meth:`predict`.

        Raises: ColumnNotFoundError for an absent key, DataTypeError.
        """
        if not isinstance(row, Mapping):
            raise DataError(f"a row is a dict of every feature, not {type(row).__name__}; predict takes tables")
        feeds = self._form.arrange(self._encode(row), self.schema)
        with self._told_failure():
            if self._has_images:
                feeds = ruled(feeds, rules_for_every_row(images), self.schema)
                outputs = run_chunked(self._session, feeds, self._names)
            else:
                outputs = dict(zip(self._names, self._session.run(self._names, feeds), strict=True))
        self._finish(outputs, 1)
        return one_row(self.schema.target, outputs, self._axes)

    def predict_feeds(self, feeds: Feeds, names: Sequence[str] | None = None) -> dict[str, Array]:
        """Run ready arrays, one ``[N, 1]`` a feature (``docs/file-format.md``): the file's outputs, labels as classes.

        ``names``: the outputs wanted, by default all.
        """
        feeds = self._form.arrange(feeds, self.schema)
        with self._told_failure():
            outputs = run_chunked(self._session, feeds, self._names if names is None else names)
        self._finish(outputs, len(next(iter(feeds.values()))))
        return outputs

    @contextlib.contextmanager
    def _told_failure(self) -> Iterator[None]:
        """What the runtime raises where a graph cannot be run, as an error of ours."""
        try:
            yield
        except (OnnxlearnError, Warning):
            # Of an image that cannot be read, or not as it is.
            raise
        except Exception as error:
            text = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelFileError(f"{self._options['source']} cannot be run on these rows: {text}") from error

    def _finish(self, outputs: dict[str, Array], n_rows: int) -> None:
        """Hold outputs against what the file promised; positions of labels become labels."""
        source = self._options["source"]
        for name, array in outputs.items():
            shape = (n_rows, *self.outputs[name].row_shape)
            if array.shape != shape:
                raise ModelFileError(f"{source} is damaged: its output {name!r} has the shape {array.shape}, not {shape}")
        if self._classes is not None and "label" in outputs:
            outputs["label"] = _classes_at(outputs["label"], self._classes, source)

    @overload
    def score(
        self, table: Table, measure: str | Measure, /, *, images: ImageRules | Mapping[str, Any] | None = None
    ) -> float: ...

    @overload
    def score(
        self, table: Table, *measures: str | Measure, images: ImageRules | Mapping[str, Any] | None = None
    ) -> dict[str, float]: ...

    def score(
        self, table: Table, *measures: str | Measure, images: ImageRules | Mapping[str, Any] | None = None
    ) -> float | dict[str, float]:
        """Predict and score a table that has the target: one measure's value, or those of several or the usual ones by name.

        A model trained with weights needs the weight column here too. ``images`` as in :meth:`predict`; with the policy
        ``skip`` rows are left out whose images cannot be read.

        Raises: DataError, UnknownNameError, ParameterError.
        """
        # Unlike a prediction, a score may leave rows out.
        with told_together():
            return self._predict(table, rules_of(images), need_truth=True).score(*measures)

    def save(self, path: str | Path) -> None:
        """Write the file: whole or not at all.

        Raises: OutputError.
        """
        with atomic_path(path) as temporary:
            temporary.write_bytes(self._data)

    def to_bytes(self) -> bytes:
        """The file's bytes."""
        return self._data

    def export(self, to: str, out: str | Path, **options: Any) -> list[str]:
        """Write the model in another form: ``to`` names the target, ``out`` the file or the new folder.

        ``onnxlearn.export.TARGETS`` has the targets, ``onnxlearn targets NAME`` tells the options of one. Gives lines that tell
        of what was written, such as how to serve it.

        >>> import tempfile
        >>> import onnxlearn as ol
        >>> model = ol.learner("featureless").fit(ol.example_task("penguins"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.export("kserve", f"{folder}/served")[0].split("&&")[0]
        "serve it: pip install 'onnxlearn[mlserver]' "

        Raises: as :func:`onnxlearn.export.export`.
        """
        from onnxlearn.export import export

        return export(self, to, out, **options)

    def verify(self, tolerance: float | None = None) -> Verification:
        """Run the rows that the file holds for this, and compare with the outputs of the machine that made it.

        ``tolerance``: by how much numbers may differ (:class:`onnxlearn.self_test.Verification`), by default 1e-5, and 0.01
        where the network was converted (``fp16``, ``int8``); labels have to be equal unless the two best classes are as close,
        or on a GPU closer than 1e-4.

        >>> import onnxlearn as ol
        >>> task = ol.Task.from_file("example:penguins", target="species")
        >>> ol.learner("featureless").fit(task).verify().ok
        True

        Raises: ModelFileError where the file has no such rows, ParameterError.
        """
        if tolerance is not None and not tolerance >= 0:
            raise ParameterError(f"tolerance has to be a number from 0, not {tolerance!r}")
        source = self._options["source"]
        on_gpu = self.providers[0] != CPU_PROVIDER
        return verify(self.metadata, self.schema, self.predict_feeds, tolerance=tolerance, source=source, on_gpu=on_gpu)

    def inspect(self) -> dict[str, Any]:
        """What the model predicts, from what, how well and trained how: plain values, ready for JSON."""
        from onnxlearn.card import describe

        outputs = [output.to_dict() for output in self.outputs.values()]
        return describe(self.metadata, n_bytes=len(self._data), outputs=outputs)

    def to_prediction(self, outputs: Mapping[str, Array], **rows: Any) -> Prediction:
        """The prediction of :meth:`predict_feeds`' outputs; ``rows``: what else is known of them, as Prediction has it."""
        return Prediction.from_outputs(self.schema.target, outputs, axes=self._axes, **rows)

    def block_rows(self, most: int) -> int:
        """At most so many rows, or one chunk: as many as a table is best read, converted and predicted in at a time."""
        return block_rows_of(chunk_rows_of(len(self.schema.features), self._session.chunk_rows), most)

    @property
    def columns(self) -> list[str]:
        """Names of the columns that predictions have in a table."""
        shapes = {name: output.row_shape for name, output in self.outputs.items()}
        return column_names(self.schema.target, shapes, self._axes)

    def _predict_task(self, task: Task) -> Prediction:
        if task.schema.features != self.schema.features or task.schema.target != self.schema.target:
            return self._predict_frame(task.frame, task.images)
        # The model's own columns: they are converted already.
        outputs = self.predict_feeds(task.feeds())
        return self.to_prediction(outputs, row_ids=task.row_ids, truth=task.truth(), weights=task.weights())

    def _predict_frame(self, frame: pd.DataFrame, images: ImageRules) -> Prediction:
        say_extra_columns(frame.columns, self.schema)
        require_features(self.schema, frame.columns)
        step = self.block_rows(BLOCK_ROWS)
        blocks = [
            self.predict_feeds(ruled(_block_feeds(frame, self.schema, start, start + step), images, self.schema))
            for start in range(0, len(frame) or 1, step)
        ]
        outputs = {name: np.concatenate([block[name] for block in blocks]) for name in self._names}
        truth, weights, no_truth = known_truth(self.schema, frame_rows(frame))
        ids = frame.index.to_numpy()
        return self.to_prediction(outputs, row_ids=ids, truth=truth, weights=weights, no_truth=no_truth)

    def __reduce__(self) -> tuple[Any, ...]:
        # Sessions cannot be pickled: another process opens the bytes again.
        kept = tuple(filter(_can_be_pickled, self.callbacks))
        return _reopen, (self._data, self._options), {"out_of_fold": self.out_of_fold, "callbacks": kept}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self._data == other._data

    def __hash__(self) -> int:
        return hash(self._data)

    def __repr__(self) -> str:
        names = ", ".join(self.schema.target.names)
        n = len(self.schema.features)
        return f"<Model {self.metadata['learner'].get('name')!r}: {names} from {n} column{'' if n == 1 else 's'}>"


def _classes_at(positions: Array, classes: Array, source: str) -> Array:
    if positions.size and not (positions.min() >= 0 and positions.max() < len(classes)):
        raise ModelFileError(f"{source} is damaged: its label {positions.max()} is no position among {len(classes)} classes")
    found: Array = classes[positions]
    return found


def as_frame(table: Any) -> pd.DataFrame:
    """A data frame from the forms of table that hold their rows in memory.

    Raises: DataError for anything else.
    """
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return table
    if _speaks_arrow(table):
        from onnxlearn.files.arrow import ArrowTable

        return ArrowTable(table).frame()
    if hasattr(table, "to_pandas"):
        return as_frame(table.to_pandas())
    if way := next((name for name in ("collect", "compute") if hasattr(table, name)), None):
        raise DataError(f"a {type(table).__name__} has no rows yet: give it as table.{way}()")
    if isinstance(table, Mapping):
        columns = {name: _series(name, values) for name, values in table.items()}
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"the columns of a table have equally many rows, not {lengths}")
        return pd.DataFrame(columns)
    if isinstance(table, list | tuple) and all(isinstance(row, Mapping) for row in table):
        names = list(table[0]) if table else []
        uneven = next((i for i, row in enumerate(table) if row.keys() != table[0].keys()), None)
        if uneven is not None:
            raise DataError(f"row {uneven} has other keys than row 0: every row needs the same ones, None means missing")
        return pd.DataFrame({name: _series(name, [row[name] for row in table]) for name in names})
    raise DataError(
        f"a table is a data frame, a path, a dict of columns or a list of rows as dicts, not {type(table).__name__}: "
        "give the columns their names with pandas.DataFrame(values, columns=[...])"
    )


def _speaks_arrow(table: Any) -> bool:
    """Whether Arrow can read it: what has the PyCapsule interface, and pyarrow's datasets; pandas has a way of its own."""
    import pandas as pd

    speaks = any(hasattr(table, name) for name in ("__arrow_c_stream__", "__arrow_c_array__", "scanner", "to_reader"))
    return speaks and not isinstance(table, pd.DataFrame)


def _series(name: object, values: Any) -> Any:
    import pandas as pd

    if isinstance(values, np.ndarray) and values.ndim > 1:
        # Images, one after the other.
        values = list(values)
    if isinstance(values, list | tuple):
        # As they are: pandas would make floats of integers next to a None.
        return pd.Series(list(values), dtype=object)
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise DataError(f"column {name!r} has to be a list or an array, not {values!r}; use predict_one for a single row")
    return pd.Series(values).reset_index(drop=True)


def frame_rows(frame: pd.DataFrame) -> Rows:
    """The rows of a data frame, to be read by a schema."""
    return _FrameRows(frame)


class _FrameRows:
    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def feeds(self, schema: Schema) -> Feeds:
        return frame_feeds(self._frame, schema)

    def truth(self, schema: Schema) -> Array | None:
        from onnxlearn.tasks.targets import target_truth

        return target_truth(self._frame, schema)


def _block_feeds(frame: pd.DataFrame, schema: Schema, start: int, stop: int) -> Feeds:
    """Feeds of some of the frame's rows; messages count rows from the frame's first."""
    return {
        column.name: series_array(
            unique_column(frame, column.name).iloc[start:stop], column, lambda row: row_place(start + row)
        )
        for column in schema.features
    }


def _reopen(data: bytes, options: dict[str, Any]) -> Model:
    return Model(data, **options)


def _can_be_pickled(callback: Any) -> bool:
    try:
        pickle.dumps(callback)
    except Exception:  # noqa: BLE001  - whatever it holds says why it cannot
        return False
    return True


def _piped(path: Path) -> bytes:
    """What comes out of a pipe or a device, which does not tell its size beforehand."""
    data = bytearray()
    with path.open("rb") as file:
        while part := file.read(2**20):
            data += part
            if len(data) > MAX_BYTES:
                raise ModelFileError(f"{str(path)!r} gives more than {MAX_BYTES} bytes: an ONNX file has less than 2 GiB")
    return bytes(data)


def _read(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ModelFileError(f"{str(path)!r} has {size} bytes: an ONNX file has less than 2 GiB")
        return _piped(path) if path.exists() and not path.is_file() else path.read_bytes()
    except FileNotFoundError as error:
        near = sorted(other.name for other in path.parent.glob("*.onnx"))[:5] if path.parent.is_dir() else []
        there = f"; there is {', '.join(near)}" if near else ""
        raise ModelFileError(f"there is no model file {str(path)!r}{there}") from error
    except IsADirectoryError as error:
        raise ModelFileError(f"{str(path)!r} is a folder, not a model file") from error
    except OSError as error:
        raise ModelFileError(f"cannot read the model file {str(path)!r}: {error.strerror}") from error
