"""Images beside a table: features of all columns joined late, and one head behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from onnxlearn.errors import DataError
from onnxlearn.params import param
from onnxlearn.preprocess.config import ImagesConfig
from onnxlearn.schema import ColumnTensor, Ingress, Schema
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.inputs import FlatInputs, FlatInputsConfig
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.prepared import Prepared
from onnxlearn_models.training.callbacks.cached_features import CachedFeatures
from onnxlearn_models.training.config import TrainConfig, choose_training
from onnxlearn_models.training.history import OnEpoch
from onnxlearn_models.vision.encoder import Encoder, GivenFeatures

# Numbers of one map of channels that are in memory at once while rows are judged: bounds memory.
EVALUATED_NUMBERS = 2**26
# Channels of the largest map of usual networks, on a quarter of the pixels or on all of them.
USUAL_CHANNELS = 64


@dataclass(frozen=True, kw_only=True)
class FusedConfig(FlatInputsConfig):
    """What stands behind the encoders of columns."""

    d_joint: int = param(
        128, "units of the layer that joins features of several kinds: images, numbers and categories", low=1, on="numbers"
    )
    dropout: float = param(0.2, "share of the units in front of the output layer dropped", low=0, high=0.95)
    cache_features: bool | Literal["auto"] = param(
        "auto",
        "features of images are computed once as long as all that makes them is frozen: where that is possible within "
        "image_memory (auto); True: or say why it is not",
        on="images", inert="it changes rounding alone",
    )  # fmt: skip


class FusedNet(nn.Module):
    """Encoders of columns, what the table has beside them, a layer that joins them, where there are several, and the head.

    A layer of its own also stands behind features that come as they are, whatever their scale.

    ``forward(num, cat, columns)``: float32 ``[N, n_num]``, int64 ``[N, n_cat]`` and the tensors of columns by ingress, to
    float32 ``[N, n_outputs]``. ``encoders`` are those of ``ingress.columns``, in order, each with ``d_features``; ``table``
    takes numbers and categories and has ``d_out``, and is ``None`` where there are none. Features are joined late: normalized
    over the batch, so that none outweighs the others by its units alone, and sent through a linear layer. ``notes``: what is to
    be said of the weights that encoders begin with. ``featured``: what encoders make comes in the place of the images.
    """

    featured = False

    def __init__(
        self, ingress: Ingress, n_outputs: int, config: FusedConfig, encoders: Sequence[nn.Module], table: Any
    ) -> None:
        super().__init__()
        self.names = {kind: [column.name for column in ingress.columns if column.kind == kind] for kind in ("image", "text")}
        pairs: list[tuple[ColumnTensor, Any]] = list(zip(ingress.columns, encoders, strict=True))
        self.images = nn.ModuleList(encoder for column, encoder in pairs if column.kind == "image")
        self.texts = nn.ModuleList(encoder for column, encoder in pairs if column.kind == "text")
        self.table = table
        widths = [int(encoder.d_features) for encoder in (*self.images, *self.texts)]
        widths += [] if table is None else [table.d_out]
        d_features = sum(widths)
        joins = len(widths) > 1 or any(isinstance(encoder, GivenFeatures) for encoder in encoders)
        self.joint = _joint(d_features, config) if joins else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(config.d_joint if joins else d_features, n_outputs)
        self.branches = (
            *(f"images.{i}" for i in range(len(self.images))), *(f"texts.{i}" for i in range(len(self.texts))), "table",
        )  # fmt: skip
        self.notes = [note for encoder in self.images if (note := getattr(encoder, "note", ""))]
        pixels = max((column.shape[-2] * column.shape[-1] for column in ingress.columns if len(column.shape) == 3), default=0)
        if pixels:
            self.evaluation_images = max(1, EVALUATED_NUMBERS // (USUAL_CHANNELS * pixels))
        numbers = max((column.shape[0] * int(encoder.d_features) for column, encoder in pairs if column.n_ids), default=0)
        if numbers:
            self.evaluation_rows = max(1, EVALUATED_NUMBERS // numbers)

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The encoders of images by ingress."""
        return dict(zip(self.names["image"], self.images, strict=True))

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set up what depends on the training rows."""
        if self.table is not None:
            self.table.initialize(inputs)

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None, columns: dict[str, Tensor] | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        features = [
            columns[name] if self.featured and kind == "image" else encoder(columns[name])  # type: ignore[index]
            for kind, encoders in (("image", self.images), ("text", self.texts))
            for name, encoder in zip(self.names[kind], encoders, strict=True)
        ]
        if self.table is not None:
            features.append(self.table(num, cat))
        joined = torch.cat(features, dim=1) if len(features) > 1 else features[0]
        output: Tensor = self.head(self.dropout(self.joint(joined)))
        return output


def _joint(d_features: int, config: FusedConfig) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(d_features), nn.Linear(d_features, config.d_joint), nn.ReLU())


def plain_table(ingress: Ingress, config: FusedConfig) -> FlatInputs | None:
    """Numbers and embedded categories side by side; ``None`` where there are none."""
    return FlatInputs(ingress, config) if ingress.n_num or ingress.n_cat else None


def image_network(schema: Schema, config: FusedConfig, encode: Callable[[ColumnTensor], Encoder]) -> FusedNet:
    """The network of a learner for images: an encoder for each column of images, the table beside them."""
    assert schema.ingress is not None
    encoders = [encoder_of(column, encode) for column in schema.ingress.columns]
    return FusedNet(schema.ingress, schema.n_outputs, config, encoders, plain_table(schema.ingress, config))


def encoder_of(column: ColumnTensor, encode: Callable[[ColumnTensor], Encoder]) -> Encoder:
    """The encoder of a column of images; where features come in their place, nothing is left to do."""
    return encode(column) if len(column.shape) == 3 else GivenFeatures(column.shape[0])


class FusedLearner(NetworkLearner):
    """Learners whose network is a :class:`FusedNet`."""

    preprocess_config: ClassVar[type] = ImagesConfig

    def arguments(self, prepared: Prepared, on_epoch: OnEpoch) -> dict[str, Any]:
        """As of all, and what keeps features."""
        cached = CachedFeatures(prepared.architecture.cache_features, prepared.preprocessing.config.image_bytes)
        return {**super().arguments(prepared, on_epoch), "beside": [cached]}


class ImageLearner(FusedLearner):
    """Learners for tables with at least one column of images."""

    defaults: Mapping[str, Any] = {"lr": 2e-3}
    without: Mapping[str, str] = dict.fromkeys(
        ("image_extractor", "image_extractor_output"),
        "its features would stand in the place of the images that this network is for: use learner 'multimodal', or a graph",
    )

    @classmethod
    def choose(cls, config: Any, train_config: TrainConfig, schema: Schema, n_rows: int) -> tuple[Any, TrainConfig]:
        """As for all. Raises: DataError where the task has no images, or has texts."""
        require_images(schema, cls.name)
        return config, choose_training(train_config, schema, n_rows)


def require_images(schema: Schema, learner: str) -> None:
    """Raise ``DataError`` where the task has no images, or has texts."""
    if not schema.of_kind("image"):
        raise DataError(
            f"learner {learner!r} needs a column of images, and the task {schema.name!r} has none: name one as an image by "
            "kinds={'photo': 'image'}, or use a learner for tables, such as mlp"
        )
    if texts := schema.of_kind("text"):
        raise DataError(f"learner {learner!r} takes no text, which column {texts[0].name!r} has: use learner 'multimodal'")
