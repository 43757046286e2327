"""Examples as tasks."""

from __future__ import annotations

from onnxlearn.examples.frames import example_frame, refuse_settings
from onnxlearn.examples.records import example_info
from onnxlearn.task import Task


def example_task(name: str, *, n_rows: int | None = None, noise: float | None = None, seed: int | None = None) -> Task:
    """A task to play with, by the name of an example; :func:`onnxlearn.example_tasks` lists them.

    The same table as ``example:NAME`` on the command line. Those that are generated take the number of rows (at least 10;
    default 500), the standard deviation of their ``noise`` (>= 0; a default for each) and a ``seed`` (default 0): the same
    seed gives the same rows, another one new rows of the same kind.

    Raises: UnknownNameError with the nearest name; ParameterError for a setting out of range, or of a table that takes none;
    MissingExtraError where scikit-learn is needed.

    >>> example_task("spirals", n_rows=100, seed=1)
    ClassificationTask('spirals', 100 rows, 2 features (2 numeric), target 'class' with 2 classes)
    """
    info = example_info(name)
    target = info.target[0] if len(info.target) == 1 else info.target
    if info.origin == "shipped":
        refuse_settings(info, n_rows=n_rows, noise=noise, seed=seed)
        return Task.from_file(f"example:{name}", target, type=info.type)
    return Task.from_frame(example_frame(name, n_rows=n_rows, noise=noise, seed=seed), target, name=name, type=info.type)
