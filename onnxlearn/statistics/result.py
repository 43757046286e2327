"""What all results of statistics can do: tell themselves as plain values, as a table and as text."""

from __future__ import annotations

import dataclasses
import math
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onnxlearn.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """Base of the frozen results: fields are names, numbers and tuples of them."""

    def headline(self) -> str:
        """One line that says what was computed."""
        raise NotImplementedError

    def rows(self) -> list[dict[str, Any]]:
        """The rows of :meth:`to_frame`."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values; a number that is not finite is ``None``."""
        return {name: _plain(value) for name, value in _fields(self).items()}

    def to_frame(self) -> pd.DataFrame:
        """The result as a data frame."""
        import pandas as pd

        return pd.DataFrame(self.rows())

    def __repr__(self) -> str:
        lines = self.to_frame().to_string(index=False, float_format="{:.4g}".format, na_rep="nan")
        return f"{self.headline()}\n{lines}"


def scipy_stats() -> ModuleType:
    """``scipy.stats``. Raises: MissingExtraError; SciPy comes with scikit-learn."""
    try:
        import scipy.stats
    except ImportError as error:
        raise MissingExtraError.of("scipy", "eval", "statistics") from error
    module: ModuleType = scipy.stats
    return module


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(one) for name, one in _fields(value).items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
