"""The tables that come with scikit-learn, with names that can be read; nothing is downloaded."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlearn.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

# What scikit-learn's own names (s1 to s6) stand for, from its description of the data.
_DIABETES = (
    "age", "sex", "bmi", "blood_pressure", "total_cholesterol", "ldl", "hdl", "cholesterol_ratio", "log_triglycerides",
    "glucose",
)  # fmt: skip
_CULTIVARS = ("cultivar_1", "cultivar_2", "cultivar_3")


def import_datasets(name: str) -> ModuleType:
    """``sklearn.datasets``, or ``MissingExtraError`` for the example of that name."""
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("scikit-learn", "eval", f"example {name!r}") from error
    module: ModuleType = datasets
    return module


def bundled(name: str) -> pd.DataFrame:
    """The table of that name: features in scikit-learn's order, then the target's columns; classes as text.

    The classes of ``digits`` are the digits themselves, int64.
    """
    import pandas as pd

    options = {"scaled": False} if name == "diabetes" else {}
    data = getattr(import_datasets(name), f"load_{name}")(**options)
    values = dict(zip(_feature_names(name, data), data.data.T, strict=True))
    return pd.DataFrame({**values, **_target(name, data)})


def _feature_names(name: str, data: Any) -> list[str]:
    if name == "diabetes":
        return list(_DIABETES)
    # The unit stays in the name, as in the penguins; a slash would be taken for a folder by some.
    renamed = [str(text).replace(" (cm)", "_cm").replace(" ", "_").replace("/", "_") for text in data.feature_names]
    return [text.lower() for text in renamed]


def _target(name: str, data: Any) -> dict[str, Any]:
    if name == "linnerud":
        return {str(text).lower(): column for text, column in zip(data.target_names, data.target.T, strict=True)}
    if name == "diabetes":
        return {"progression": data.target}
    if name == "digits":
        return {"digit": data.target.astype(np.int64)}
    column = {"iris": "species", "wine": "cultivar", "breast_cancer": "diagnosis"}[name]
    classes = _CULTIVARS if name == "wine" else tuple(map(str, data.target_names))
    return {column: [classes[code] for code in data.target]}
