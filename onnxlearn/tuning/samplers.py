"""How points of a space are chosen, and hopeless trials stopped: Optuna's ways, by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias, get_args

from onnxlearn.errors import MissingExtraError, ParameterError, UnknownNameError

Sampler: TypeAlias = Literal["tpe", "random", "grid", "cmaes"]
Pruner: TypeAlias = Literal["hyperband", "halving", "median"]
SAMPLERS, PRUNERS = get_args(Sampler), get_args(Pruner)


def import_optuna() -> Any:
    """The package. Raises: MissingExtraError."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError.of("optuna", "tune", "tuning") from error
    return optuna


@contextlib.contextmanager
def quietly() -> Iterator[Any]:
    """Optuna, without its talk: it logs every trial."""
    optuna = import_optuna()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)


def make_sampler(name: str, seed: int) -> Any:
    """The sampler of this name.

    Raises: UnknownNameError, MissingExtraError.
    """
    if name not in SAMPLERS:
        raise UnknownNameError.of("sampler", str(name), SAMPLERS)
    import_optuna()
    if name == "cmaes" and find_spec("cmaes") is None:
        raise MissingExtraError.of("cmaes", "tune", "the sampler 'cmaes'")
    from onnxlearn.tuning.seeded import Seeded

    return Seeded(name, seed)


def make_pruner(name: str | None) -> Any:
    """What stops trials early; one that stops none for ``None``. Raises: UnknownNameError."""
    optuna = import_optuna()
    if name is None:
        return optuna.pruners.NopPruner()
    if name not in PRUNERS:
        raise UnknownNameError.of("pruner", str(name), PRUNERS)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=2, max_resource="auto")
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=2)
    return optuna.pruners.MedianPruner(n_warmup_steps=2)


def require_prunable(pruner: str | None, n_objectives: int) -> None:
    """Raise ParameterError where trials cannot be compared before they end."""
    if pruner is not None and n_objectives > 1:
        raise ParameterError(f"pruner={pruner!r} compares trials by one measure: leave it out, or search by one measure")
