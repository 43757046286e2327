"""What is known of one iteration: one learner fitted on one split of one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from onnxlearn.errors import DataError

if TYPE_CHECKING:
    from onnxlearn.learner import TaskType
    from onnxlearn.model import Model
    from onnxlearn.prediction import Prediction

Status: TypeAlias = Literal["done", "failed", "timeout"]

FORMAT_VERSION = 1


class Key(NamedTuple):
    """What an iteration is called: names of task, learner and resampling, and the iteration's number from 0.

    ``inner``: its number among the inner splits of that iteration of a nested resampling, else ``None``.

    >>> str(Key("iris", "mlp", "cv", 2)), str(Key("iris", "mlp", "cv", 2, 0))
    ("learner 'mlp' on task 'iris', iteration 2", "learner 'mlp' on task 'iris', iteration 2, inner split 0")
    """

    task: str
    learner: str
    resampling: str
    iteration: int
    inner: int | None = None

    def __str__(self) -> str:
        inner = "" if self.inner is None else f", inner split {self.inner}"
        return f"learner {self.learner!r} on task {self.task!r}, iteration {self.iteration}{inner}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """How an iteration went. Plain JSON values, as they stand in a results folder.

    ``status``: ``done``, or why there is no model of the learner: ``failed`` with ``error``, or ``timeout``. ``fallback``: the
    prediction is one of the fallback learner. ``seconds_train`` and ``seconds_predict`` are wall time; ``n_bytes`` is the size
    of the exported file and ``sha256`` its digest. ``scores``: those of the prediction, ``None`` where a measure is not
    defined. ``history``: the training curves, the loop's own values. ``versions``: those of the packages that made the file.
    """

    task: str
    learner: str
    resampling: str
    iteration: int
    inner: int | None = None
    task_type: TaskType
    n_train: int
    n_test: int
    status: Status = "done"
    error: str = ""
    fallback: bool = False
    seconds_train: float | None = None
    seconds_predict: float | None = None
    n_bytes: int | None = None
    sha256: str = ""
    scores: Mapping[str, float | None] = field(default_factory=dict)
    history: Mapping[str, list[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """What the iteration is called."""
        return Key(self.task, self.learner, self.resampling, self.iteration, self.inner)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"format_version": FORMAT_VERSION, **asdict(self), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Record:
        """Read :meth:`to_dict`'s document. Raises: DataError for one of a newer version."""
        version = document.get("format_version")
        if version != FORMAT_VERSION:
            raise DataError(
                f"a result of format version {version!r} cannot be read, this version of onnxlearn knows {FORMAT_VERSION}: "
                "install a newer one (pip install -U onnxlearn)"
            )
        known = {each.name: document[each.name] for each in fields(cls) if each.name in document}
        return cls(**{**known, "notes": tuple(known.get("notes", ()))})


@dataclass(frozen=True)
class Finished:
    """An iteration with what was kept of it."""

    record: Record
    prediction: Prediction | None = None
    model: Model | None = None
