"""Where the time of an iteration of a resampling goes."""

from __future__ import annotations

import contextlib
import functools
import importlib
import time
from collections.abc import Iterator
from typing import Any

TRAINING = "training, which is not counted"
REST = "the rest"
# Each part and the functions that do it, as those who call them know them.
PARTS: dict[str, tuple[str, ...]] = {
    TRAINING: ("onnxlearn_models.network_learner:train_network", "onnxlearn_models.stacked.together:Together.run"),
    "choosing rows": ("onnxlearn.task:Task.select", "onnxlearn.task:Task.split"),
    "fitting the preprocessing": ("onnxlearn.preprocess.preprocessing:Preprocessing.fit",),
    "making the network": (
        "onnxlearn_models.network_learner:NetworkLearner.prepare",
        "onnxlearn_models.prepared:Prepared.initialize",
    ),
    "running the preprocessing graph": ("onnxlearn_models.prepared:Prepared.tensors",),
    "tracing the network": ("onnxlearn_models.lowering.lower:Trace",),
    "lowering it": ("onnxlearn_models.fitted:emit_outputs",),
    "fusing the graphs": ("onnxlearn_models.shipping:assemble", "onnxlearn.preprocess.preprocessing:Preprocessing.to_model"),
    "the checker of onnx": ("onnxlearn_models.packing:check_serialized",),
    "opening sessions": ("onnxlearn_models.packing:open_session", "onnxlearn.preprocess.preprocessing:open_session"),
    "proving parity": ("onnxlearn_models.shipping:prove_parity",),
    "scores of the held-out rows": ("onnxlearn_models.shipping:score_rows",),
    "metadata": ("onnxlearn_models.shipping:pack",),
    "predicting the test rows": ("onnxlearn.model:Model.predict",),
    "measures": ("onnxlearn.experiments.job:scored",),
    "storing": ("onnxlearn.experiments.store:Store.write",),
}


class Clock:
    """Seconds of the processor by part; what one part does inside another counts for the one alone."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys([*PARTS, REST], 0.0)
        self._inside = [REST]
        self._since = time.process_time()

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._book()
        self._inside.append(name)
        try:
            yield
        finally:
            self._book()
            self._inside.pop()

    def _book(self) -> None:
        now = time.process_time()
        self.seconds[self._inside[-1]] += now - self._since
        self._since = now

    def stop(self) -> None:
        self._book()


@contextlib.contextmanager
def clocked() -> Iterator[Clock]:
    """Inside, every function of a part is timed."""
    found = [(part, *_find(place)) for part, places in PARTS.items() for place in places]
    before = [(owner, name, vars(owner)[name]) for _, owner, name in found]
    clock = Clock()
    try:
        for (part, owner, name), (_, _, work) in zip(found, before, strict=True):
            setattr(owner, name, _timed(work, clock, part))
        yield clock
        clock.stop()
    finally:
        for owner, name, work in before:
            setattr(owner, name, work)


def _find(place: str) -> tuple[Any, str]:
    """What holds a function, and its name there."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    return functools.reduce(getattr, owners, importlib.import_module(module)), name


def _timed(work: Any, clock: Clock, part: str) -> Any:
    plain = work.__func__ if isinstance(work, classmethod) else work

    @functools.wraps(plain, updated=())
    def timed(*args: Any, **kwargs: Any) -> Any:
        with clock.part(part):
            return plain(*args, **kwargs)

    return classmethod(timed) if isinstance(work, classmethod) else timed
