"""The rows of an example, as a data frame and as the text of a CSV file."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING

from onnxlearn.errors import ParameterError, listing
from onnxlearn.examples.records import ExampleInfo, example_info, example_infos

if TYPE_CHECKING:
    import pandas as pd

# Fewer would leave some class without rows for training or validation.
MIN_ROWS = 10
MAX_SEED = 2**32 - 1  # scikit-learn's


def example_frame(name: str, *, n_rows: int | None = None, noise: float | None = None, seed: int | None = None) -> pd.DataFrame:
    """The table of an example that is bundled or generated; arguments as in :func:`onnxlearn.example_task`."""
    info = example_info(name)
    if info.origin == "scikit-learn":
        from onnxlearn.examples.bundled import bundled

        refuse_settings(info, n_rows=n_rows, noise=noise, seed=seed)
        return bundled(name)
    from onnxlearn.examples.generators import generate

    assert info.noise is not None
    return generate(
        name,
        _whole("n_rows", info.n_rows if n_rows is None else n_rows, MIN_ROWS),
        _deviation(info.noise if noise is None else noise),
        _whole("seed", 0 if seed is None else seed, 0, MAX_SEED),
    )


def example_csv(name: str) -> bytes:
    """The text of the example's CSV file: numbers in as many digits as bring them back, the target last."""
    return example_frame(name).to_csv(index=False, lineterminator="\n").encode()


def refuse_settings(info: ExampleInfo, **settings: object) -> None:
    """Raise ``ParameterError`` where a table that is what it is was asked for in another way."""
    given = [key for key, value in settings.items() if value is not None]
    if given:
        generated = [other.name for other in example_infos().values() if other.origin == "generated"]
        raise ParameterError(
            f"example {info.name!r} is a table of {info.n_rows} rows and takes no {given[0]}; "
            f"those that are generated do: {listing(generated)}"
        )


def _whole(name: str, value: object, low: int, high: int | None = None) -> int:
    span = f"from {low} on" if high is None else f"in {low}..{high}"
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= (high or int(value)):
        raise ParameterError(f"{name} has to be a whole number {span}, not {value!r}")
    return int(value)


def _deviation(noise: object) -> float:
    if isinstance(noise, bool) or not isinstance(noise, Real) or not 0 <= float(noise) < math.inf:
        raise ParameterError(f"noise is a standard deviation, a finite number from 0 on, not {noise!r}")
    return float(noise)
