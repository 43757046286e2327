"""What the clients of all languages share: a folder with the model, a file that runs it, an example and how to start it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from onnxlearn.errors import MissingExtraError, ParameterError
from onnxlearn.export.clients.description import (
    Field,
    Result,
    Role,
    fields_of,
    results_of,
    sample_feeds,
    table_feeds,
    wire_values,
)
from onnxlearn.export.clients.words import Style, identifiers, listed, shown
from onnxlearn.export.target import Target
from onnxlearn.params import param
from onnxlearn.schema import Label

if TYPE_CHECKING:
    from onnxlearn.model import Model
    from onnxlearn.wire.feeds import Feeds

TEMPLATES = Path(__file__).parent / "templates"
MODEL_NAME = "model.onnx"
_EXAMPLE_ROWS = 2


@dataclass(frozen=True, kw_only=True)
class Client(Target):
    """A client of the model in one language; a subclass says how that language writes names, texts and values.

    ``language``: as people call it; ``folder``: of its templates. ``types``: of a column's value in that language, by role.
    ``reserved``: words that are no identifiers. ``max_columns``: how many the language can have, where there is an end to it.
    """

    is_folder: ClassVar[bool] = True
    language: ClassVar[str]
    folder: ClassVar[str]
    style: ClassVar[Style]
    types: ClassVar[dict[Role, str]]
    reserved: ClassVar[frozenset[str]] = frozenset()
    max_columns: ClassVar[int | None] = None

    data: str | None = param(None, "table whose first two rows are the example's (None: a usual row and an empty one)")

    @classmethod
    @abstractmethod
    def quote(cls, text: str) -> str:
        """A text as the language writes it."""

    @classmethod
    @abstractmethod
    def literal(cls, value: Any, role: Role) -> str:
        """A column's value, as :func:`wire_values` gives it, as the language writes it."""

    @classmethod
    def key(cls, name: str) -> str:
        """A name as the key of a row."""
        return cls.quote(name)

    @classmethod
    def comment(cls, text: str) -> str:
        """What may stand in a comment: texts of the model in it are quoted already."""
        return text

    def write(self, model: Model, out: Path) -> list[str]:
        """Write model, client, example and README.

        Raises: ParameterError for more columns than the language can hold, or a name that it cannot; MissingExtraError.
        """
        self._require_possible(model)
        feeds = sample_feeds(model) if self.data is None else table_feeds(model, self.data, _EXAMPLE_ROWS)
        self.write_with(model, out, feeds)
        return []

    def write_with(self, model: Model, out: Path, feeds: Feeds) -> None:
        """The same with these rows as the example."""
        environment = self._environment()
        context = self._context(model, feeds)
        for path in sorted((TEMPLATES / self.folder).iterdir()):
            text = environment.get_template(path.name).render(context)
            (out / path.name.removesuffix(".jinja")).write_text(text, encoding="utf-8", newline="\n")
        model.save(out / MODEL_NAME)

    @classmethod
    def _require_possible(cls, model: Model) -> None:
        features = model.schema.features
        if "inputs" in model.metadata:
            raise ParameterError(
                "a client gives each column by itself, this file was exported with other inputs: use the file it was made of"
            )
        if cls.max_columns is not None and len(features) > cls.max_columns:
            raise ParameterError(
                f"a client in {cls.language} can have {cls.max_columns} columns, this model has {len(features)}: "
                "use the target python or node"
            )

    @classmethod
    def _environment(cls) -> Any:
        try:
            import jinja2
        except ImportError as error:
            raise MissingExtraError.of("jinja2", "export", "writing a client") from error
        environment = jinja2.Environment(
            # A program, not a page: texts go through `quote` and `comment`, which every language has of its own.
            autoescape=False,
            loader=jinja2.FileSystemLoader([TEMPLATES / cls.folder, TEMPLATES]),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters.update(quote=cls.quote, comment=cls.comment, key=cls.key, shown=shown)
        return environment

    @classmethod
    def _context(cls, model: Model, feeds: Feeds) -> dict[str, Any]:
        fields, results, target = fields_of(model), results_of(model), model.schema.target
        words = identifiers([field.name for field in fields], cls.style, cls.reserved)
        named = list(zip(fields, words, strict=True))
        quantiles = next((result.output.axis for result in results if result.form == "quantiles"), ())
        return {
            "columns": [cls._column(field, word) for field, word in named],
            "outputs": [
                {"result": result, "word": word} for result, word in zip(results, cls._output_words(results), strict=True)
            ],
            "roles": {field.role for field in fields},
            "dates": any(field.column.kind == "datetime" for field in fields),
            "numbers": any(field.column.kind == "numeric" for field in fields),
            "forms": {result.form for result in results},
            "classes": [cls._class(label) for label in target.classes],
            "class_type": target.dtype,
            "targets": [cls.quote(name) for name in target.names],
            "quantiles": [repr(float(level)) for level in quantiles],
            "label": label_form(model),
            "rows": _row_literals(cls, named, feeds),
            "what": f"{listed(target.names)} from {len(fields)} column{'' if len(fields) == 1 else 's'}",
            "model_name": MODEL_NAME,
            "printed": printed(model, feeds),
            "chunk_rows": model.chunk_rows,
            "class_names": listed(target.classes),
            **cls.more(model, results),
        }

    @classmethod
    @abstractmethod
    def more(cls, model: Model, results: list[Result]) -> dict[str, Any]:
        """What else the templates of this language need."""

    @classmethod
    def _column(cls, field: Field, word: str) -> dict[str, Any]:
        return {
            "field": field, "name": field.name, "word": word, "role": field.role, "type": cls.types[field.role],
            "note": field.note,
        }  # fmt: skip

    @classmethod
    def _output_words(cls, results: list[Result]) -> list[str]:
        return identifiers([result.name for result in results], cls.style, cls.reserved, "output")

    @classmethod
    def _class(cls, label: Label) -> str:
        if isinstance(label, str):
            return cls.quote(label)
        return cls.literal(label, "strict_flag" if isinstance(label, bool) else "whole")


def label_form(model: Model) -> str:
    """How the file gives the label: as ``class``, ``flag`` (0 or 1) or ``index`` among the classes."""
    if model.metadata.get("labels") == "indices":
        return "index"
    return "flag" if model.schema.target.dtype == "bool" else "class"


def _row_literals(cls: type[Client], named: list[tuple[Field, str]], feeds: Feeds) -> list[list[dict[str, Any]]]:
    """The example's rows, each a list of column, identifier and value."""
    columns = [
        [
            {
                "name": field.name, "word": word, "role": field.role, "missing": value is None,
                "value": cls.literal(_short(value, field.role), field.role),
            }
            for value in wire_values(field, feeds)
        ]
        for field, word in named
    ]  # fmt: skip
    return [list(row) for row in zip(*columns, strict=True)]


def _short(value: Any, role: Role) -> Any:
    """A float32 by the fewest digits that read back as it: 0.1, not 0.10000000149011612.

    >>> _short(float(np.float32(0.1)), "number32"), _short(None, "number32"), _short(2, "whole")
    (0.1, None, 2)
    """
    return float(str(np.float32(value))) if role == "number32" and value is not None else value


def printed(model: Model, feeds: Feeds) -> str:
    """What an example prints for these rows, numbers rounded.

    >>> import onnxlearn as ol
    >>> model = ol.learner("featureless").fit(ol.example_task("penguins"))
    >>> print(printed(model, sample_feeds(model)))
    row 1
      label: Adelie
      probabilities: 0.441860467 0.197674423 0.360465109
    row 2
      label: Adelie
      probabilities: 0.441860467 0.197674423 0.360465109
    """
    outputs = model.predict_feeds(feeds)
    n_rows = len(next(iter(outputs.values())))
    lines = []
    for i in range(n_rows):
        lines.append(f"row {i + 1}")
        lines += [f"  {name}: {row_text(values[i], model, name)}" for name, values in outputs.items()]
    return "\n".join(lines)


def row_text(values: Any, model: Model, name: str) -> str:
    """What an example prints for an output of a row: the label, the names of the classes in a set, or numbers."""
    if name == "label":
        return _label_text(bool(values) if model.schema.target.dtype == "bool" else values)
    if name == "set":
        return " ".join(_label_text(label) for label, inside in zip(model.schema.target.classes, values, strict=True) if inside)
    if values.dtype == np.bool_:
        return " ".join(_label_text(bool(value)) for value in np.ravel(values))
    digits = 9 if values.dtype == np.float32 else 15
    return " ".join(f"{float(value):.{digits}g}" for value in np.ravel(values))


def _label_text(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)
