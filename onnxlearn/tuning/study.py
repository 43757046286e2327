"""A study: the trials of a search, kept where several processes find them. Optuna's storages keep them.

```text
<folder>/tuning.json      what is searched, on which task, by which resampling
         study.journal    the trials; every line that counts is written whole
         workers/         a locked file for each process that works on it
```
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxlearn.errors import DataError, MissingExtraError, OutputError, ParameterError, listing
from onnxlearn.experiments.store import read_json, write_json
from onnxlearn.files.outputs import make_folder
from onnxlearn.tuning.ranges import Choice, plain
from onnxlearn.tuning.samplers import quietly
from onnxlearn.tuning.space import Candidate, Entry, Space
from onnxlearn.tuning.trial import Trial

DOCUMENT, JOURNAL, WORKERS, EVERYBODY = "tuning.json", "study.journal", "workers", "all"
# In a database: seconds after which a process that was not heard of is taken for dead, and between two signs of life.
SILENT, HEARTBEAT = 120.0, 20.0

# What is told of a search that can be read again.
_TOLD = ("learners", "given", "space", "measures", "minimize")
_ENDED, _OWNER, _ALIVE, _START, _AGAIN = "ended", "owner", "alive", "start", "again"


@dataclass(frozen=True)
class Asked:
    """A trial that begins: its number, what to run, and its number in Optuna's storage."""

    number: int
    candidate: Candidate
    trial_id: int


class Study:
    """Trials of a space. Made by :func:`opened`, inside of which this process counts as working on it."""

    def __init__(self, study: Any, storage: Any, space: Space, owner: Owner) -> None:
        self._study, self._storage, self._space, self._owner = study, storage, space, owner
        self._lock = threading.Lock()

    def ask(self) -> Asked | None:
        """Begin a trial that waits, or a new one; ``None`` where what was drawn cannot go together, and has failed."""
        with self._lock:
            trial = self._study.ask()
            trial.set_user_attr(_OWNER, self._owner.name)
            self._owner.begins(trial)
            start = trial.user_attrs.get(_START)
            if start is not None:
                return Asked(trial.number, Candidate(start, {}, self._space.learners[start]), trial._trial_id)
            drawn: dict[str, Any] = {}

            def suggest(name: str, entry: Entry) -> Any:
                drawn[name] = suggested(trial, name, entry)
                return drawn[name]

            try:
                return Asked(trial.number, self._space.draw(suggest), trial._trial_id)
            except ParameterError as error:
                failed = Trial(number=trial.number, state="failed", params=plain(drawn), error=str(error))
        self.tell(failed, None)
        return None

    def tell(self, trial: Trial, values: Sequence[float] | None) -> None:
        """Keep a trial that ended: what it scored, or ``None``. What counts as finished is there by then."""
        states = self._optuna.trial.TrialState
        state = {"done": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[trial.state]
        with self._lock:
            asked = self._found()[trial.number]
            self._owner.ends(asked)
            if asked.state.is_finished():
                # Nobody had heard of this process for long: another one has begun the trial again.
                return
            ended = {"trial": trial.to_dict(), "values": values, "state": state.name}
            self._storage.set_trial_user_attr(asked._trial_id, _ENDED, ended)
            self._study.tell(trial.number, values if trial.state == "done" else None, state=state)

    def trials(self) -> list[Trial]:
        """Those that ended, by number; without those that were begun again under another."""
        with self._lock:
            found = self._found()
        return _ended(found)

    def n_put(self) -> int:
        """How many points were put where they are begun, before the search."""
        with self._lock:
            found = self._found()
        return sum("fixed_params" in each.system_attrs and _AGAIN not in each.user_attrs for each in found)

    def n_under_way(self) -> int:
        """How many trials have begun, here or elsewhere, and not ended."""
        states = self._optuna.trial.TrialState
        with self._lock:
            found = _counted(self._found())
        return sum(each.state == states.RUNNING and _ENDED not in each.user_attrs for each in found)

    def n_waiting(self) -> int:
        """How many trials wait to be begun."""
        states = self._optuna.trial.TrialState
        with self._lock:
            return sum(each.state == states.WAITING for each in _counted(self._found()))

    def _found(self) -> Sequence[Any]:
        found: Sequence[Any] = self._study.get_trials(deepcopy=False)
        return found

    def again(self, asked: Asked) -> None:
        """Let a trial that was under way wait again; it is another one then, of which this one is no more."""
        states = self._optuna.trial.TrialState
        with self._lock:
            frozen = self._found()[asked.number]
            self._owner.ends(frozen)
            if not frozen.state.is_finished():
                self._put_again(frozen)
                self._study.tell(asked.number, state=states.FAIL)

    def _put_again(self, frozen: Any) -> None:
        start = {key: frozen.user_attrs[key] for key in (_START,) if key in frozen.user_attrs}
        fixed = {**frozen.system_attrs.get("fixed_params", {}), **frozen.params}
        self._study.enqueue_trial(fixed, user_attrs={**start, _AGAIN: frozen.number})

    def put(self, params: Mapping[str, Any] | None, *, start: str | None = None) -> None:
        """Let a point of the space, or a learner as it was given, wait to be tried."""
        with self._lock:
            self._study.enqueue_trial(dict(params or {}), user_attrs={} if start is None else {_START: start})

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Inside no other process takes trials over or begins them, where processes can be kept from it: in a folder."""
        return self._owner.alone()

    def take_over(self) -> None:
        """Put what dead processes had under way where it is begun again; inside of :meth:`alone`."""
        states = self._optuna.trial.TrialState
        with self._lock:
            found = self._found()
            taken = {each.user_attrs[_AGAIN] for each in found if _AGAIN in each.user_attrs}
            for each in found:
                if each.state != states.RUNNING or each.user_attrs.get(_OWNER) == self._owner.name or self._owner.lives(each):
                    continue
                if ended := each.user_attrs.get(_ENDED):
                    # It had ended, and its process died before that was told.
                    values = ended["values"] if ended["state"] == states.COMPLETE.name else None
                    self._study.tell(each.number, values, state=states[ended["state"]], skip_if_finished=True)
                    continue
                if each.number not in taken:
                    self._put_again(each)
                self._study.tell(each.number, state=states.FAIL, skip_if_finished=True)

    @property
    def address(self) -> Any:
        """Where another process finds the study, with what stops trials; ``None`` where none does."""
        return self._owner.address

    @property
    def name(self) -> str:
        """Its name in the storage."""
        found: str = self._study.study_name
        return found

    @property
    def _optuna(self) -> Any:
        import optuna

        return optuna


def is_hopeless(study: Any, storage: Any, trial_id: int, epoch: int, loss: float) -> bool:
    """Note the loss of an epoch; whether the study's pruner would stop the trial. Of a study that is maximized it is turned."""
    direction = 1 if study.direction.name == "MINIMIZE" else -1
    storage.set_trial_intermediate_value(trial_id, epoch, direction * loss)
    found: bool = study.pruner.prune(study, storage.get_trial(trial_id))
    return found


class Owner:
    """One process among those that work on a study: the only one, where it is in memory."""

    name = "alone"
    address: Any = None

    def begins(self, trial: Any) -> None:
        """It has a trial under way from now on."""

    def ends(self, trial: Any) -> None:
        """It has it under way no more."""

    def lives(self, trial: Any) -> bool:
        """Whether the process that had a trial under way still has."""
        del trial
        return False

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Inside no other process takes trials over."""
        yield

    def close(self) -> None:
        """It works on the study no more."""


class FolderOwner(Owner):
    """A process that holds a lock as long as it lives, however it ends."""

    def __init__(self, folder: Path) -> None:
        try:
            from filelock import FileLock
        except ImportError as error:
            raise MissingExtraError.of("filelock", "tune", "tuning") from error
        self._make: Any = FileLock
        self.name = uuid.uuid4().hex
        self._folder = folder
        self.address = str(folder / JOURNAL)
        self._own = FileLock(folder / WORKERS / self.name)
        # A thread that holds it may take it again.
        self._all = FileLock(folder / WORKERS / EVERYBODY, poll_interval=0.01)
        with self._all:
            self._own.acquire()
            for path in (folder / WORKERS).iterdir():
                if path.name not in (EVERYBODY, self.name):
                    self._is_held(path)

    def lives(self, trial: Any) -> bool:
        """Whether its lock is held."""
        owner = trial.user_attrs.get(_OWNER)
        if owner is None:
            # Its process died right after it had begun: a living one would hold the folder's lock until it has said who it is.
            return False
        return self._is_held(self._folder / WORKERS / owner)

    def _is_held(self, path: Path) -> bool:
        """Whether the process of a file lives; a dead one's goes. Under the folder's lock, where nobody makes one meanwhile."""
        try:
            with self._make(path, timeout=0), contextlib.suppress(OSError):
                path.unlink()
        except TimeoutError:
            return True
        return False

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Under a lock of the folder's."""
        with self._all:
            yield

    def close(self) -> None:
        """Give the lock back."""
        self._own.release()
        with contextlib.suppress(OSError):
            (self._folder / WORKERS / self.name).unlink()


class DatabaseOwner(Owner):
    """A process that gives a sign of life now and then for each trial that it has under way."""

    def __init__(self, storage: Any, address: str) -> None:
        self.name, self.address = uuid.uuid4().hex, address
        self._storage = storage
        self._trials: set[int] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def begins(self, trial: Any) -> None:
        """Give the first sign."""
        self._trials.add(trial._trial_id)
        self._storage.set_trial_user_attr(trial._trial_id, _ALIVE, time.time())

    def ends(self, trial: Any) -> None:
        """Give no more signs."""
        self._trials.discard(trial._trial_id)

    def lives(self, trial: Any) -> bool:
        """Whether it was heard of lately."""
        last = trial.user_attrs.get(_ALIVE, trial.datetime_start.timestamp())
        return bool(time.time() - last < SILENT)

    def close(self) -> None:
        """End the signs."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT):
            for trial_id in tuple(self._trials):
                # It may have ended in this moment; and a database that is away for a moment is asked again.
                with contextlib.suppress(Exception):
                    self._storage.set_trial_user_attr(trial_id, _ALIVE, time.time())


@contextlib.contextmanager
def opened(
    store: str | Path | None, space: Space, document: Mapping[str, Any], directions: Sequence[str], sampler: Any, pruner: Any
) -> Iterator[Study]:
    """A study of this space, a new one or one that goes on; ``store``: a folder, a database by its URL, or ``None``: memory.

    ``document``: what results depend on, as plain JSON.

    Raises: OutputError where the store is of another search.
    """
    with quietly() as optuna:
        storage, owner = _storage(optuna, store, document)
        name = f"onnxlearn-{_digest(document)}"
        study = optuna.create_study(
            storage=storage, study_name=name, directions=directions, sampler=sampler, pruner=pruner, load_if_exists=True
        )
        try:
            yield Study(study, storage, space, owner)
        finally:
            owner.close()


def storage_at(optuna: Any, address: str) -> Any:
    """Optuna's storage of a file or a database."""
    if is_url(address):
        return optuna.storages.get_storage(address)
    from onnxlearn.tuning.journal import Journal

    return optuna.storages.JournalStorage(Journal(address))


def is_url(store: str | Path) -> bool:
    """Whether a store is a database.

    >>> is_url("sqlite:///study.db"), is_url("runs/mlp")
    (True, False)
    """
    return "://" in str(store)


def is_study(folder: str | Path) -> bool:
    """Whether a folder is that of a search."""
    return (Path(folder) / DOCUMENT).is_file()


def read_study(folder: str | Path) -> tuple[Any, list[Trial]]:
    """What a folder's search is of, and the trials that ended; nothing is written.

    Raises: DataError where there is none.
    """
    if not is_study(folder):
        raise DataError(f"{str(folder)!r} is no folder of a search: it has no {DOCUMENT}")
    document = read_json(Path(folder) / DOCUMENT)
    if lacking := [key for key in _TOLD if key not in document]:
        raise DataError(f"{str(folder)!r} is not of ol.tune, or of another version: its {DOCUMENT} lacks {listing(lacking)}")
    if not (Path(folder) / JOURNAL).exists():
        return document, []
    with quietly() as optuna:
        storage = storage_at(optuna, str(Path(folder) / JOURNAL))
        # A process that died at once leaves a journal without a study.
        studies = storage.get_all_studies()
        found = storage.get_all_trials(studies[0]._study_id, deepcopy=False) if studies else []
    return document, _ended(found)


def _ended(found: Sequence[Any]) -> list[Trial]:
    return [Trial.from_dict(each.user_attrs[_ENDED]["trial"]) for each in _counted(found) if _ENDED in each.user_attrs]


def _counted(found: Sequence[Any]) -> list[Any]:
    """All but those that were put again a second time, as two processes may do that see the same one dead at once."""
    again = set[int]()
    counted = []
    for each in found:
        origin = each.user_attrs.get(_AGAIN)
        if origin is None or origin not in again:
            counted.append(each)
        if origin is not None:
            again.add(origin)
    return counted


def _storage(optuna: Any, store: str | Path | None, document: Mapping[str, Any]) -> tuple[Any, Owner]:
    if store is None:
        return optuna.storages.InMemoryStorage(), Owner()
    if is_url(store):
        try:
            storage = storage_at(optuna, str(store))
        except ImportError as error:
            raise MissingExtraError.of("sqlalchemy", "tune", "a study in a database") from error
        return storage, DatabaseOwner(storage, str(store))
    folder = Path(store).absolute()
    _claim(folder, document)
    make_folder(folder / WORKERS)
    owner = FolderOwner(folder)
    return storage_at(optuna, owner.address), owner


def _claim(folder: Path, document: Mapping[str, Any]) -> None:
    """Write down what the folder is of, or see that it is of the same."""
    path = folder / DOCUMENT
    wanted = json.loads(json.dumps(document))
    if not path.exists():
        make_folder(folder)
        if any(DOCUMENT not in file.name for file in folder.iterdir()) and not path.exists():
            raise OutputError(f"the folder {str(folder)!r} holds other files and no {DOCUMENT}: give a new or an empty folder")
        write_json(path, wanted)
    stored = read_json(path)
    if stored != wanted:
        different = [key for key in wanted if stored.get(key) != wanted[key]]
        raise OutputError(
            f"the folder {str(folder)!r} holds another search: it differs in {listing(different)}; give another folder, or "
            "delete it"
        )


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def suggested(trial: Any, name: str, entry: Entry) -> Any:
    """A value for a name, drawn by the study's sampler."""
    domain = entry.domain
    if isinstance(domain, Choice):
        labels = domain.labels
        return domain.values[labels.index(trial.suggest_categorical(name, list(labels)))]
    if entry.whole:
        step = 1 if domain.step is None else int(domain.step)
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log, step=step)
    return trial.suggest_float(name, float(domain.low), float(domain.high), log=domain.log, step=domain.step)
