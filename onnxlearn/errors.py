"""Every error that onnxlearn raises on purpose.

OnnxlearnError
├── DataError (ValueError)            the table does not fit the rule
│   ├── ColumnNotFoundError (KeyError)    a column is not in the table
│   ├── DataTypeError (TypeError)         a value has another type than the model was trained on
│   ├── TableReadError                    a file cannot be read as a table
│   └── ImageReadError                    an image cannot be read
├── ParameterError (ValueError)       a parameter is unknown or out of range
│   └── DesignError                       a design file has mistakes
├── UnknownNameError (KeyError)       no learner, measure or example of that name
├── MissingExtraError (ImportError)   an optional package is not installed
├── ModelFileError (ValueError)       the file is not a model of ours, or is damaged
├── ProviderError (RuntimeError)      the requested device is not available
├── OutputError (OSError)             a result cannot be written
├── InterruptedFit                    training was stopped before there was anything to keep
└── InternalError                     a fault of ours: please report
    ├── ExportError                   the network cannot be expressed as ONNX
    └── ParityError                   the exported file and the network disagree

A message states the rule, the offending value and the way out, on one line; a design file's mistakes have a line each.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence


class OnnxlearnError(Exception):
    """Base of all errors of this package."""

    def __str__(self) -> str:
        # KeyError prints its argument as a repr; a message has to stay a message.
        return str(self.args[0]) if self.args else ""


class DataError(OnnxlearnError, ValueError):
    """The table does not fit the rule that the message states."""


class ColumnNotFoundError(DataError, KeyError):
    """A column that is needed is not in the table."""

    @classmethod
    def of(
        cls,
        missing: Sequence[str],
        available: Iterable[object],
        *,
        needed_by: str = "the model",
        source: str = "the table",
        taken: Collection[str] = (),
    ) -> ColumnNotFoundError:
        """Name the missing columns, those that ``source`` has and the nearest spelling, which is none of those ``taken``.

        >>> str(ColumnNotFoundError.of(["agee"], ["age", "sex"]))
        "the model needs column 'agee'; the table has 'age', 'sex'. Did you mean 'age'?"
        """
        there = [str(name) for name in available]
        noun = "column" if len(missing) == 1 else "columns"
        text = f"{needed_by} needs {noun} {listing(missing)}; {source} has {listing(there)}."
        return cls(text + did_you_mean(missing[0], (name for name in there if name not in taken)))


class DataTypeError(DataError, TypeError):
    """A column holds another type of value than it was trained on, or one that cannot be used."""


class TableReadError(DataError):
    """A file cannot be read as a table."""


class ImageReadError(DataError):
    """An image cannot be read, or breaks the rule that the message states."""


class ParameterError(OnnxlearnError, ValueError):
    """A parameter is unknown, of the wrong type or out of its range."""


class MistakesError(ParameterError):
    r"""What was given has mistakes: one text for each.

    >>> str(MistakesError("lr: a range begins above 0", "dropout is at most 0.95"))
    'lr: a range begins above 0\ndropout is at most 0.95'
    """

    def __init__(self, *mistakes: str) -> None:
        super().__init__(*mistakes)

    @property
    def mistakes(self) -> tuple[str, ...]:
        """All of them."""
        return self.args

    def __str__(self) -> str:
        return "\n".join(self.args)


class DesignError(MistakesError):
    """A design file has mistakes: each text begins with the file and the line, in the order of the lines.

    >>> str(DesignError("design.toml:2: tasks.iris: data is missing"))
    'design.toml:2: tasks.iris: data is missing'
    """


class SpaceError(MistakesError):
    """A search space has mistakes: each text names the parameter."""


class UnknownNameError(OnnxlearnError, KeyError):
    """Nothing is registered under that name."""

    @classmethod
    def of(cls, noun: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """Say which names there are and the nearest one.

        >>> str(UnknownNameError.of("learner", "mpl", ["featureless", "mlp"]))
        "there is no learner 'mpl'; there are 'featureless', 'mlp'. Did you mean 'mlp'?"
        """
        names = sorted(known)
        return cls(f"there is no {noun} {name!r}; there are {listing(names)}.{did_you_mean(name, names)}")


class MissingExtraError(OnnxlearnError, ImportError):
    """An optional package is needed and not installed."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtraError:
        """Give the pip command that installs what is missing.

        >>> str(MissingExtraError.of("torch", "train", "training"))
        "training needs the package torch: pip install 'onnxlearn[train]'"
        """
        return cls(f"{purpose} needs the package {package}: pip install 'onnxlearn[{extra}]'")


class ModelFileError(OnnxlearnError, ValueError):
    """The file is not a model of onnxlearn, of a newer format, or damaged."""


class ProviderError(OnnxlearnError, RuntimeError):
    """The requested execution provider or device is not available."""


class OutputError(OnnxlearnError, OSError):
    """A result cannot be written where it was asked for."""


class InterruptedFit(OnnxlearnError):  # noqa: N818  an interruption, like KeyboardInterrupt
    """Training was interrupted before the first epoch ended: there are no weights to keep."""


class InternalError(OnnxlearnError):
    """A fault of onnxlearn, not of the user."""


class ExportError(InternalError):
    """The network cannot be expressed as ONNX."""


class ParityError(InternalError):
    """The exported graph and the network that it came from give different numbers."""


def listing(names: Iterable[object], limit: int = 12) -> str:
    """Quote names for a message, the first ``limit`` of them; a single one more takes no more room than to say so.

    >>> listing(["a", "b"])
    "'a', 'b'"
    >>> listing([])
    'nothing'
    >>> listing("abc", 2), listing("abcd", 2)
    ("'a', 'b', 'c'", "'a', 'b' and 2 more")
    """
    quoted = [repr(str(name)) for name in names]
    if not quoted:
        return "nothing"
    if len(quoted) <= limit + 1:
        return ", ".join(quoted)
    return f"{', '.join(quoted[:limit])} and {len(quoted) - limit} more"


def did_you_mean(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """A hint with the nearest known name, or an empty string where none is as much alike: 1 is equal, 0 nothing in common.

    >>> did_you_mean("Age", ["age", "sex"])
    " Did you mean 'age'?"
    """
    by_folded = {str(candidate).casefold(): str(candidate) for candidate in known}
    near = difflib.get_close_matches(str(name).casefold(), by_folded, n=1, cutoff=likeness)
    return f" Did you mean {by_folded[near[0]]!r}?" if near else ""
