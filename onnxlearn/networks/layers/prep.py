"""How columns are prepared in front of an ingress, for what enters there alone."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from onnxlearn.effects import holds, idle
from onnxlearn.errors import ParameterError, did_you_mean, listing
from onnxlearn.networks.layer import Layer
from onnxlearn.params import REQUIRED, owned, param
from onnxlearn.preprocess.config import ColumnsConfig
from onnxlearn.schema import Column, Kind


class Prep(Layer):
    """A step of preprocessing: columns come in, from the task or another step, and columns come out.

    ``sets``: which setting of :class:`~onnxlearn.preprocess.config.ColumnsConfig` each of its own is. ``stage``: when it is
    done; steps stand in that order.
    """

    takes = (0, 1)
    sets: ClassVar[Mapping[str, str]] = {}
    stage: ClassVar[int] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in self.settings.items():
            if isinstance(value, Mapping):
                # What happens to the caller's own dict later must not change this.
                object.__setattr__(self, name, dict(value))
        settings = self.settings
        for field in dataclasses.fields(self):
            value, when = settings[field.name], field.metadata["when"]
            if value != field.default and not holds(when, settings):
                raise ParameterError(f"{self.kind}: {idle(field.name, value, when, settings)}")
        with owned(self.kind):
            ColumnsConfig(**self.asked)

    @property
    def gives_columns(self) -> bool:
        """It does."""
        return True

    @property
    def asked(self) -> dict[str, Any]:
        """Settings of preprocessing."""
        return {theirs: getattr(self, own) for own, theirs in self.sets.items()}

    @property
    def placed(self) -> int:
        """``stage`` with these settings; 0: anywhere before columns are mixed."""
        return self.stage


class Encoding(Prep):
    """What makes numbers of categories."""

    @property
    def placed(self) -> int:
        """Means of the target are numbers, which are filled in and scaled; codes and 0/1 columns are not."""
        return 2 if self.settings["method"] == "target" else 0


@dataclass(frozen=True)
class Select(Prep):
    """Some of the columns: those that fit one of the names or patterns, such as ``"lab_*"``, and are of one of the kinds.

    Raises: ParameterError for a name or pattern that no column fits.
    """

    kind = "select"

    columns: tuple[str, ...] = param((), "names or patterns; none: all columns")
    kinds: tuple[Kind, ...] = param((), "kinds, such as numeric and categorical; none: all kinds")
    exclude: tuple[str, ...] = param((), "names or patterns of columns that are left out")

    def chosen(self, columns: Sequence[Column]) -> list[Column]:
        """The columns that it leaves."""
        wanted = _fitting(self.columns, columns) if self.columns else {column.name for column in columns}
        unwanted = _fitting(self.exclude, columns)
        kept = [column for column in columns if column.name in wanted and column.name not in unwanted]
        return [column for column in kept if not self.kinds or column.kind in self.kinds]


def _fitting(patterns: Iterable[str], columns: Sequence[Column]) -> set[str]:
    names = [column.name for column in columns]
    found: set[str] = set()
    for pattern in patterns:
        fitting = {pattern} & set(names) or {name for name in names if fnmatchcase(name, pattern)}
        if not fitting:
            hint = did_you_mean(pattern, names) or f" There are {listing(names)}."
            raise ParameterError(f"no column that comes in fits {pattern!r}.{hint}")
        found |= fitting
    return found


def _step(kind: str, about: str, stage: int, required: str = "", base: type[Prep] = Prep, **sets: str) -> type[Prep]:
    """A kind of step whose settings are some of those of preprocessing, under shorter names."""
    hints = typing.get_type_hints(ColumnsConfig)
    known = {field.name: field for field in dataclasses.fields(ColumnsConfig)}
    own = {theirs: mine for mine, theirs in sets.items()}
    fields = []
    for mine, theirs in sets.items():
        hint, field = hints[theirs], known[theirs]
        when = field.metadata["when"]
        beside = {own[other]: value for other, value in when.items()} if isinstance(when, Mapping) else when
        default = REQUIRED if mine == required else field.default
        hint = _without_none(hint) if mine == required else hint
        fields.append((mine, hint, param(default, **{**field.metadata, "when": beside})))
    space = {"kind": kind, "stage": stage, "sets": sets, "__doc__": about, "__module__": __name__}
    title = "".join(part.capitalize() for part in kind.split("_"))
    return dataclasses.make_dataclass(title, fields, bases=(base,), frozen=True, namespace=space)


def _without_none(hint: Any) -> Any:
    kept = [option for option in typing.get_args(hint) if option is not types.NoneType]
    return kept[0] if isinstance(hint, types.UnionType) else hint


# The order of the stages is that of preprocessing: see PreprocessConfig.
Mutate = _step("mutate", "Further numbers, computed from columns.", 1, "formulas", formulas="formulas")
Dates = _step("dates", "What is read from dates; each part is a number, which is scaled.", 1, parts="datetime_parts")
Encode = _step(
    "encode", "How categories enter: as codes for ingress.cat(), or as numbers.", 0, base=Encoding,
    method="cat_encoding", smoothing="cat_smoothing", folds="cat_folds", buckets="cat_buckets", max_onehot="max_onehot",
    min_level_rows="min_level_rows", ordered="ordered_encoding",
)  # fmt: skip
Impute = _step(
    "impute", "What stands for missing numbers.", 3,
    method="num_impute", value="impute_value", indicator="missing_indicator",
)  # fmt: skip
Bins = _step("bins", "Bins between quantiles of each number, beside it.", 4, "n", n="num_bins", encoding="bin_encoding")
Splines = _step("splines", "Cubic B-splines of each number, beside it.", 4, "n", n="num_splines")
Scale = _step(
    "scale", "The scale of numbers, ranks and parts of dates.", 5,
    method="num_scaler", smooth_clip="smooth_clip", clip="clip", n_quantiles="n_quantiles", ties="quantile_ties",
)  # fmt: skip
Polynomial = _step(
    "polynomial", "Powers and products of scaled numbers, beside them.", 6, "degree",
    degree="num_polynomial", interactions_only="interactions_only",
)  # fmt: skip
Pca = _step("pca", "Principal components in the place of scaled numbers.", 7, "n", n="num_pca", whiten="pca_whiten")
SelectBest = _step(
    "select_best", "The numbers with the highest F statistic by the target; the others are 0.", 8, "n", n="num_select"
)  # fmt: skip
Images = _step(
    "images", "How images are brought to one size, and their values to one scale.", 0,
    height="image_height", width="image_width", fit="image_fit", crop="image_crop", resample="image_resample",
    grey="image_grey", mean="image_mean", std="image_std",
)  # fmt: skip
Texts = _step(
    "texts", "How texts are cut into words, and these counted or numbered.", 0,
    form="text_form", length="text_length", max_words="text_max_words", min_rows="text_min_rows", pairs="text_pairs",
    sublinear="text_sublinear",
)  # fmt: skip

# Columns of these stages are no longer those of the task.
MIXED = 6
