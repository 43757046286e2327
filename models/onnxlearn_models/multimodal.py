"""Images, texts, numbers and categories in one network: each kind by an encoder of its own, joined late.

The late fusion of AutoMM (Tang et al. 2024, "AutoGluon-Multimodal: Supercharging Multimodal AutoML with Foundation Models") in
small: features of each column and of the table side by side, and a multilayer perceptron behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from onnxlearn.effects import other_than
from onnxlearn.errors import ParameterError
from onnxlearn.params import param
from onnxlearn.preprocess.config import ColumnsConfig, PreprocessConfig
from onnxlearn.schema import ColumnTensor, Ingress, Schema
from onnxlearn_models.layers.block import dense_block
from onnxlearn_models.layers.dense import dense
from onnxlearn_models.layers.inputs import FlatInputs
from onnxlearn_models.layers.numeric import NUM_EMBEDDINGS
from onnxlearn_models.layers.words import WordBag, WordEmbedding
from onnxlearn_models.training.start import StartWeights
from onnxlearn_models.vision.backbone import BackboneEncoder, for_channels, given_weights, weights_of
from onnxlearn_models.vision.cnn import CNNEncoder, CNNShape
from onnxlearn_models.vision.encoder import Encoder
from onnxlearn_models.vision.fused import FusedConfig, FusedLearner, FusedNet, encoder_of
from onnxlearn_models.vision.sources import find_backbone


@dataclass(frozen=True, kw_only=True)
class MultimodalConfig(CNNShape, FusedConfig):
    """Shape of the network."""

    image_encoder: str = param(
        "cnn", "what images go through: cnn, or a network of learner backbone, such as resnet18 or timm:NAME",
        when={"image_extractor": None}, on="images",
    )  # fmt: skip
    weights: StartWeights | Literal["pretrained"] | None = param(
        None, "what such a network begins with: a file, a state dict, pretrained, or None: random weights",
        when={"image_encoder": other_than("cnn")}, on="images",
    )  # fmt: skip
    n_blocks: int = param(2, "hidden layers that numbers and categories go through", low=0)
    d_block: int = param(128, "units of such a layer", low=1)
    num_embedding: str = param("pbld", "embedding of numbers, beside the numbers", choices=NUM_EMBEDDINGS, on="numbers")
    d_word: int | None = param(
        None, "width of the vector of a word, or of a text where its words are weighted (None: that of text_vectors, or 64)",
        low=1, on="texts",
    )  # fmt: skip


class TableEncoder(nn.Module):
    """Numbers, embeddings, hidden layers: ``[N, n_num]`` and ``[N, n_cat]`` to ``[N, d_out]``."""

    def __init__(self, ingress: Ingress, config: MultimodalConfig) -> None:
        super().__init__()
        self.inputs = FlatInputs(ingress, config)
        parts: list[nn.Module] = []
        for i in range(config.n_blocks):
            d_in = config.d_block if i else self.inputs.d_out
            parts += dense_block(d_in, config.d_block, activation=config.activation, dropout=config.dropout)
        self.blocks = nn.Sequential(*parts)
        self.d_out = config.d_block if config.n_blocks else self.inputs.d_out

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set up what depends on the training rows."""
        self.inputs.initialize(inputs)

    def forward(self, num: Tensor | None, cat: Tensor | None) -> Tensor:
        """Embed, join and go through the layers."""
        return dense(self.inputs(num, cat), self.blocks)


class MeanWords(WordBag):
    """The mean of the vectors of a text's words, ``[N, d_features]``."""

    def __init__(self, column: ColumnTensor, d_word: int) -> None:
        super().__init__(WordEmbedding(column.name, column.n_ids, d_word))
        self.d_features = d_word


class WeightedWords(nn.Module):
    """A linear map of how much each word counts in a text: float32 ``[N, V]`` to ``[N, d_features]``."""

    def __init__(self, n_words: int, d_word: int) -> None:
        super().__init__()
        self.d_features = d_word
        self.linear = nn.Linear(n_words, d_word)

    def forward(self, x: Tensor) -> Tensor:
        """From ``[N, V]`` to ``[N, d_word]``."""
        features: Tensor = self.linear(x)
        return features


def build_multimodal(schema: Schema, config: MultimodalConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
    assert schema.ingress is not None
    ingress, weights = schema.ingress, None
    if config.image_encoder != "cnn" and any(column.kind == "image" for column in ingress.columns):
        weights = weights_of(find_backbone(config.image_encoder), config.weights)

    def encode_image(column: ColumnTensor) -> Encoder:
        if config.image_encoder == "cnn":
            return CNNEncoder(column.shape, config)
        return BackboneEncoder(column.shape, config.image_encoder, weights)

    encoders = [
        encoder_of(column, encode_image) if column.kind == "image" else text_encoder(column, config.d_word)
        for column in ingress.columns
    ]
    table = TableEncoder(ingress, config) if ingress.n_num or ingress.n_cat else None
    return FusedNet(ingress, schema.n_outputs, config, encoders, table)


def text_encoder(column: ColumnTensor, d_word: int | None) -> nn.Module:
    """The encoder that suits what enters of a text. Raises: ParameterError where its vectors have another width."""
    if d_word is not None and column.d_vectors not in (0, d_word):
        raise ParameterError(
            f"d_word={d_word}, and the vectors of text_vectors have {column.d_vectors} numbers: leave d_word out"
        )
    d_word = d_word or column.d_vectors or 64
    return MeanWords(column, d_word) if column.dtype == "int64" else WeightedWords(column.shape[0], d_word)


class Multimodal(FusedLearner):
    """Learner ``multimodal``."""

    name: ClassVar[str] = "multimodal"
    architecture = staticmethod(build_multimodal)
    architecture_config = MultimodalConfig
    preprocess_config: ClassVar[type] = ColumnsConfig
    defaults: Mapping[str, Any] = {"lr": 1e-3}

    def __init__(self, **params: Any) -> None:
        params = given_weights(params)
        encoder = params.get("image_encoder", "cnn")
        if isinstance(encoder, str) and encoder != "cnn":
            self.defaults = {**self.defaults, **find_backbone(encoder).images}
        super().__init__(**params)

    def choose_preprocessing(self, config: PreprocessConfig, schema: Schema, n_rows: int) -> PreprocessConfig:
        """Where images are grey, grey has the mean of the colours."""
        del n_rows
        return for_channels(config, schema)
