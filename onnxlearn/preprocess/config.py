"""The settings of preprocessing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from onnxlearn.effects import GIVEN, other_than
from onnxlearn.errors import ParameterError
from onnxlearn.images.config import ImageConfig
from onnxlearn.params import param
from onnxlearn.preprocess.formulas import Formula
from onnxlearn.schema import Ingress, Kind, Schema
from onnxlearn.text.config import TextConfig

Scaler: TypeAlias = Literal["standard", "robust", "minmax", "quantile", "yeo_johnson", "box_cox", "none"]
TargetScaler: TypeAlias = Literal["standard", "robust", "minmax", "none"]
DatePart: TypeAlias = Literal[
    "year",
    "month",
    "day",
    "weekday",
    "hour",
    "minute",
    "elapsed",
    "month_cyclic",
    "day_cyclic",
    "weekday_cyclic",
    "hour_cyclic",
]

# Beside these, codes of categories may enter the network.
AS_CODES = {"cat_encoding": ["auto", "embedding"]}


@dataclass(frozen=True, kw_only=True)
class PreprocessConfig:
    """How columns become the tensors ``num`` and ``cat``.

    ``robust`` scaling and ``smooth_clip`` are those of Holzmüller, Grinsztajn and Steinwart (2024), "Better by default",
    section 3; ``quantile`` is scikit-learn's ``QuantileTransformer(output_distribution="normal")``, which puts the lowest and
    the highest training value at ±5.2 however often they occur. ``yeo_johnson`` and ``box_cox`` are its ``PowerTransformer``:
    each column to the power of maximum likelihood, then ``standard``. ``box_cox`` is for positive numbers: a column with a
    training value of 0 or less takes ``yeo_johnson``, and in one without, values of 0 or less count as the smallest positive
    ones. With ``quantile_ties="middle"`` they are values as any other,
    which have the middle of their ranks, as if a little noise had parted their rows. Booleans become -1 and 1 (0 where
    missing) and sines and cosines stay as they are, whatever the scaling. A number of ``min_level_rows`` holds for ordered
    columns too, its default does not.

    What is made of the columns comes in this order. ``formulas`` are computed from the columns' own numbers and are numbers
    from then on. Categories are encoded. Missing numbers are filled in, extreme ones cut off; of what there is then
    ``num_bins`` and ``num_splines`` are made. Numbers are scaled; of scaled ones ``num_polynomial`` makes products, and
    ``num_pca`` puts components in their place. All these stand beside the numbers (with ``num_pca`` the components). At last
    ``num_select`` leaves the best of all columns.
    """

    formulas: Mapping[str, str] | None = param(
        None, "further numbers, computed from columns: names and formulas, {'bmi': 'weight / height ** 2'}, of "
        "+ - * / **, comparisons, log, exp, sqrt, abs, min, max; missing where they are no finite number", on="numbers",
    )  # fmt: skip

    num_scaler: Scaler = param(
        "robust",
        "scaling of numbers, ranks and date parts; yeo_johnson and box_cox (of columns above 0, others as yeo_johnson): "
        "powers that make them more normal, then standard",
        on="numbers",
    )
    num_impute: Literal["median", "mean", "constant"] = param(
        "median", "what stands for a missing number", on="missing numbers"
    )
    impute_value: float = param(
        0.0, "the number that is put in place of missing ones, in the column's unit",
        when={"num_impute": "constant"}, on="missing numbers",
    )  # fmt: skip
    missing_indicator: bool = param(
        True, "add a 0/1 column for each column with missing values, in min_level_rows rows at least", on="missing numbers"
    )
    smooth_clip: bool = param(
        True, "bend scaled numbers into (-3, 3): x / sqrt(1 + (x/3)^2)",
        when={"num_scaler": ["robust", "standard", "yeo_johnson", "box_cox"]}, on="numbers",
    )  # fmt: skip
    clip: float = param(
        100.0, "cut numbers off at this many scaled units", low=0, low_open=True, high=1e6,
        when={"num_scaler": other_than("quantile")}, on="numbers",
    )  # fmt: skip
    n_quantiles: int | None = param(
        1000, "references of each column, at most one a row (None: one for 30 rows, 10 to 1000)", low=2, high=10_000,
        when={"num_scaler": "quantile"}, on="numbers",
    )  # fmt: skip
    quantile_ties: Literal["extreme", "middle"] = param(
        "extreme", "the lowest and the highest value are put at ±5.2, or at the middle of their ranks",
        when={"num_scaler": "quantile"}, on="numbers",
    )  # fmt: skip
    num_bins: int | None = param(None, "bins between quantiles of each number, beside it", low=2, high=256, on="numbers")
    bin_encoding: Literal["onehot", "ordinal"] = param(
        "onehot", "bins enter as a 0/1 column each, or by their number, in 0 to 1", when={"num_bins": GIVEN}, on="numbers"
    )
    num_splines: int | None = param(
        None, "cubic B-splines of each number, beside it, with knots at quantiles; constant beyond the training rows",
        low=4, high=256, on="numbers",
    )  # fmt: skip
    num_polynomial: int | None = param(
        None, "powers and products of scaled numbers up to this degree, beside them", low=2, high=4, on="numbers"
    )
    interactions_only: bool = param(
        False, "products of different numbers alone, no powers", when={"num_polynomial": GIVEN}, on="numbers"
    )
    num_pca: int | None = param(
        None, "principal components that stand for the scaled numbers, ranks and date parts", low=1, on="numbers"
    )
    pca_whiten: bool = param(False, "principal components have variance 1", when={"num_pca": GIVEN}, on="numbers")
    num_select: int | None = param(
        None, "columns of num that stay, those with the highest F statistic by the target; the others are 0", low=1
    )
    cat_encoding: Literal["auto", "embedding", "onehot", "target", "hash"] = param(
        "auto", "how categories enter: as codes for embeddings, one-hot, or one-hot up to max_onehot levels; as the target's "
        "mean, for training rows that of other folds; one-hot by the hash of the level", on="categories",
    )  # fmt: skip
    cat_smoothing: float | None = param(
        None, "rows that the mean of all counts as beside those of a level (None: by the spread of the means, empirical Bayes)",
        low=0, high=1e9, when={"cat_encoding": "target"}, on="categories",
    )  # fmt: skip
    cat_folds: int = param(
        5, "folds of the training rows, whole groups where there are some, each of which gets the means of the others", low=2,
        when={"cat_encoding": "target"}, on="categories",
    )  # fmt: skip
    cat_buckets: int = param(
        32, "buckets of a column that is hashed", low=2, high=4096, when={"cat_encoding": "hash"}, on="categories"
    )
    max_onehot: int = param(12, "most levels that are encoded one-hot", low=0, when={"cat_encoding": "auto"}, on="categories")
    min_level_rows: int | None = param(
        None, "levels with fewer training rows count as unseen (None: a hundredth of the rows, at most 10)", low=1,
        on="categories",
    )  # fmt: skip
    ordered_encoding: Literal["rank", "categorical", "both"] = param(
        "both", "how ordered categories enter", on="ordered categories"
    )
    datetime_parts: tuple[DatePart, ...] = param(
        ("year", "month", "day", "weekday", "hour", "elapsed", "month_cyclic", "weekday_cyclic", "hour_cyclic"),
        "what is read from a datetime", on="dates",
    )  # fmt: skip
    target_scaler: TargetScaler = param("standard", "scaling of the target", on="regression")
    target_clip: bool = param(False, "predictions keep within the range of the training rows", on="regression")

    @property
    def groups(self) -> Mapping[str, Group]:
        """Columns with preprocessing of their own, by the group's name; none: all columns are prepared alike."""
        return {}

    @property
    def image_bytes(self) -> float:
        """Bytes of prepared images that are kept in memory."""
        return 0.0

    @property
    def n_readers(self) -> int | None:
        """Processes that read images ahead."""
        return None

    def __post_init__(self) -> None:
        if len(set(self.datetime_parts)) < len(self.datetime_parts):
            raise ParameterError(f"datetime_parts names a part twice: {', '.join(self.datetime_parts)}; name each once")
        for name, text in (self.formulas or {}).items():
            Formula.parse(name, text)


COLUMN_KINDS: tuple[Kind, ...] = ("text", "image")
"""Kinds of columns that enter the network as tensors of their own."""


@dataclass(frozen=True, kw_only=True)
class ImagesConfig(PreprocessConfig, ImageConfig):
    """As :class:`PreprocessConfig`, for learners that take images too."""

    image_memory: float = param(
        1.0, "GB of prepared images that are kept in memory; more are read anew in each epoch", low=0, on="images",
        inert="the images are the same",
    )  # fmt: skip

    image_workers: int | None = param(
        None, "processes that read images ahead, beyond image_memory (None: one a core)", low=1, on="images",
        inert="the images are the same",
    )  # fmt: skip

    @property
    def image_bytes(self) -> float:
        """The same in bytes."""
        return self.image_memory * 1e9

    @property
    def n_readers(self) -> int | None:
        """``image_workers``."""
        return self.image_workers

    def __post_init__(self) -> None:
        PreprocessConfig.__post_init__(self)
        ImageConfig.__post_init__(self)


@dataclass(frozen=True, kw_only=True)
class ColumnsConfig(ImagesConfig, TextConfig):
    """As :class:`PreprocessConfig`, for learners that take images and texts too."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Columns that are prepared by themselves.

    ``features``: their names, of texts and images those that the network takes. ``reads``: whether it takes ``num`` and
    ``cat`` of what is made of them. ``flags``: those of the texts and images of which it takes alone which are missing.
    """

    features: tuple[str, ...]
    reads: frozenset[str]
    config: PreprocessConfig
    flags: tuple[str, ...] = ()

    def table(self, schema: Schema) -> Schema:
        """The schema of these columns."""
        features = tuple(column for column in schema.features if column.name in self.features)
        return dataclasses.replace(schema, features=features, ingress=None)

    def read(self, ingress: Ingress) -> Ingress:
        """What is read of an ingress of these columns."""
        columns = tuple(tensor for tensor in ingress.columns if tensor.column not in self.flags)
        ingress = dataclasses.replace(ingress, columns=columns)
        if "num" not in self.reads:
            ingress = dataclasses.replace(ingress, num_names=(), num_kinds=(), num_sources=())
        return ingress if "cat" in self.reads else dataclasses.replace(ingress, cat_names=(), cardinalities=())


@dataclass(frozen=True, kw_only=True)
class GroupsConfig(ColumnsConfig):
    """As :class:`ColumnsConfig`, with groups of columns. The columns of a group without a name come together without groups."""

    by_name: Mapping[str, Group] = dataclasses.field(default_factory=dict)

    @property
    def groups(self) -> Mapping[str, Group]:
        """``by_name``."""
        return self.by_name
