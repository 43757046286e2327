"""Partial dependence: what the exported file predicts on average, or for each row, as a column takes other values."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from onnxlearn.errors import ColumnNotFoundError, DataError, ParameterError, listing
from onnxlearn.images.rules import ImageRules
from onnxlearn.inspection.copies import Change, outputs_of_copies
from onnxlearn.inspection.grid import Grid, automatic_grid, given_grid
from onnxlearn.inspection.rows import Rows, read_rows, require_model
from onnxlearn.measures import Array
from onnxlearn.model import Model, Table
from onnxlearn.prediction import column_names
from onnxlearn.progress import progress_steps
from onnxlearn.remarks import told_together
from onnxlearn.schema import Schema, Target
from onnxlearn.wire.values import is_integer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Kind: TypeAlias = Literal["average", "individual", "both"]
N_POINTS = 20


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dependence:
    """What :func:`partial_dependence` gives.

    ``grids``: the values of each column, G of the first. ``outputs``: classes, or target columns, C of them. ``average``
    float64 ``[G, C]`` (``[G, G2, C]`` of two columns), ``individual`` float64 ``[N, G, C]``, each ``None`` where it was not
    asked for: probabilities, or predictions in the target's unit.
    """

    target: Target
    grids: tuple[Grid, ...]
    outputs: tuple[Any, ...]
    n_rows: int
    average: Array | None
    individual: Array | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(grid.column.name for grid in self.grids)

    def points(self) -> list[tuple[Any, ...]]:
        """The values of the columns, point by point in the order of ``average``; missing is ``None``."""
        return list(itertools.product(*(grid.shown for grid in self.grids)))

    def to_frame(self) -> pd.DataFrame:
        """The averages: a column for each column of the model, then those of a prediction (``prob_<class>``, ``prediction``).

        Without averages the curves of the rows, indexed by ``row``, the number of the row.
        """
        import pandas as pd

        points = self.points()
        values, index = self.average, None
        if values is None:
            assert self.individual is not None, "one of the two was asked for"
            values = self.individual
            index = pd.Index(np.repeat(np.arange(self.n_rows), len(points)), name="row")
            points *= self.n_rows
        frame = pd.DataFrame({i: list(column) for i, column in enumerate(zip(*points, strict=True))}, index=index)
        flat = values.reshape(-1, len(self.outputs))
        frame = pd.concat([frame, pd.DataFrame(flat, index=index)], axis=1)
        frame.columns = pd.Index([*self.columns, *self._output_names()])
        return frame

    def plot(self, ax: Axes | None = None) -> Axes:
        """A line for each class or target, dotted where the value is missing; curves of at most 100 rows faintly behind.

        Of two columns a surface, which shows one class.

        Raises: ParameterError for a surface of several classes, MissingExtraError.
        """
        from onnxlearn.inspection.curves import draw_curves, draw_surface

        return draw_curves(self, ax) if len(self.grids) == 1 else draw_surface(self, ax)

    def _output_names(self) -> list[str]:
        """As the columns of a prediction."""
        classes = bool(self.target.classes)
        every = column_names(self.target, {"probabilities" if classes else "prediction": (self.target.n_outputs,)})
        names: Sequence[Any] = self.target.classes or self.target.names
        return [every[names.index(output)] for output in self.outputs]

    def __repr__(self) -> str:
        size = " x ".join(str(len(grid)) for grid in self.grids)
        of = f" of {listing(self.outputs)}" if self.target.type == "classification" else ""
        return f"<Dependence{of} on {listing(self.columns)}: {size} values, {self.n_rows} rows>"


@told_together()
def partial_dependence(
    model: Model,
    data: Table,
    columns: str | Sequence[str],
    *,
    grid: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
    kind: Kind = "average",
    of: Sequence[Any] | None = None,
    n_points: int = N_POINTS,
    format: str | None = None,
    images: ImageRules | Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> Dependence:
    """What the model predicts when all rows have a value in a column, for each of some values; or two columns together.

    The mean over the rows is the partial dependence: Friedman (2001), "Greedy function approximation: a gradient boosting
    machine", Annals of Statistics 29, section 8.2; the curves of the rows are the individual conditional expectations:
    Goldstein, Kapelner, Bleich and Pitkin (2015), "Peeking inside the black box", Journal of Computational and Graphical
    Statistics 24. Where columns go together, some rows get values that never occur in such rows.

    ``grid``: the values, of two columns by name; by default at most ``n_points`` (>= 2) quantiles of the rows' numbers or
    dates between 5 % and 95 %, or every level, and missing where the column may be. ``kind``: ``average``, ``individual``
    or ``both``; of two columns ``average``. ``of``: classes or target columns to look at, by default all, of two classes the
    positive one.
    ``format``, ``images`` and ``progress`` as in :func:`onnxlearn.importance`; images stay as they are. Rows count by their
    weights where the model was trained with such.

    Raises: ColumnNotFoundError for what is no feature, DataError, DataTypeError, ParameterError.

    >>> import onnxlearn as ol
    >>> task = ol.example_task("penguins")
    >>> model = ol.learner("linear", max_epochs=20, seed=0).fit(task, progress=False)
    >>> found = ol.partial_dependence(model, task, "island", of=["Gentoo"])
    >>> found.to_frame()["island"].tolist(), found.average.shape
    (['Biscoe', 'Dream', 'Torgersen'], (3, 1))
    """
    require_model(model)
    names = _column_names(columns, model.schema)
    if kind not in get_args(Kind):
        raise ParameterError(f"kind has to be 'average', 'individual' or 'both', not {kind!r}")
    if len(names) > 1 and kind != "average":
        raise ParameterError(
            f"two columns have a surface of averages, and no kind={kind!r}: look at one column, or leave it out"
        )
    if not is_integer(n_points) or n_points < 2:
        raise ParameterError(f"n_points has to be an integer >= 2, not {n_points!r}")
    chosen = _chosen_outputs(model.schema.target, of)
    given = _given(grid, names)
    rows = read_rows(model, data, format=format, images=images)
    grids = tuple(
        given_grid(model.schema.column(name), given[name])
        if name in given
        else automatic_grid(model.schema.column(name), rows.feeds[name], n_points)
        for name in names
    )
    average, individual = _run(model, rows, grids, list(chosen.values()), kind, progress=progress)
    return Dependence(
        target=model.schema.target, grids=grids, outputs=tuple(chosen), n_rows=len(rows), average=average, individual=individual
    )


def _run(
    model: Model, rows: Rows, grids: Sequence[Grid], chosen: list[int], kind: Kind, *, progress: bool | None
) -> tuple[Array | None, Array | None]:
    output = "probabilities" if model.schema.target.type == "classification" else "prediction"
    shape = tuple(map(len, grids))
    averages, curves = [], []
    with progress_steps("points", int(np.prod(shape)), show=progress) as on_step:
        for outputs in outputs_of_copies(model, rows.feeds, _changes(rows, grids), names=[output]):
            values = outputs[output][:, chosen].astype(np.float64)
            if kind != "individual":
                averages.append(_mean(values, rows.weights))
            if kind != "average":
                curves.append(values)
            on_step()
    average = np.array(averages).reshape(*shape, len(chosen)) if averages else None
    return average, np.stack(curves, axis=1) if curves else None


def _mean(values: Array, weights: Array | None) -> Array:
    if weights is not None and not weights.sum() > 0:
        raise DataError("the weights of the rows sum to 0: at least one has to be positive")
    return np.asarray(np.average(values, axis=0, weights=weights))


def _changes(rows: Rows, grids: Sequence[Grid]) -> Iterator[Change]:
    for point in itertools.product(*(grid.wire for grid in grids)):
        yield {
            grid.column.name: np.full((len(rows), 1), value, grid.wire.dtype) for grid, value in zip(grids, point, strict=True)
        }


def _column_names(columns: str | Sequence[str], schema: Schema) -> list[str]:
    names = [columns] if isinstance(columns, str) else list(columns)
    if not 1 <= len(names) <= 2 or len(set(names)) < len(names):
        raise ParameterError(f"partial dependence is on one column, or on two different ones, not on {listing(names)}")
    for name in names:
        if name in schema.target.names:
            raise ColumnNotFoundError(
                f"column {name!r} is what the model predicts; the features are {listing(schema.feature_names)}"
            )
        if name not in schema.feature_names:
            error = ColumnNotFoundError.of([name], schema.feature_names, needed_by="partial dependence")
            raise ColumnNotFoundError(str(error).replace("the table has", "the model's features are"))
        if schema.column(name).kind == "image":
            raise DataError(f"column {name!r} holds images, which lie on no grid: importance tells what it counts")
    return names


def _given(grid: Sequence[Any] | Mapping[str, Sequence[Any]] | None, names: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    if grid is None:
        return {}
    if not isinstance(grid, Mapping):
        if len(names) > 1:
            raise ParameterError(f"of two columns grid= is a dict of values by column, {{{names[0]!r}: [...]}}, not a list")
        return {names[0]: grid}
    if other := [name for name in grid if name not in names]:
        raise ParameterError(f"grid= has values of {listing(other)}, and the columns are {listing(names)}")
    return grid


def _chosen_outputs(target: Target, of: Sequence[Any] | None) -> dict[Any, int]:
    """The outputs to look at by name, with their position, in the file's order."""
    names: Sequence[Any] = target.classes or target.names
    if of is None:
        wanted = names if target.positive is None else [target.positive]
    else:
        wanted = [of] if isinstance(of, str) else list(of)
    # The command line only has text: there is no mistaking it among integers or booleans.
    by_text = {str(name): name for name in names}
    found = {name if name in names else by_text.get(str(name)) for name in wanted}
    if not found or None in found:
        what = "classes" if target.classes else "targets"
        raise ParameterError(f"of={of!r} has to be some of the model's {what}, {listing(names)}")
    return {name: i for i, name in enumerate(names) if name in found}
