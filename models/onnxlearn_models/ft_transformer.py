"""FT-Transformer: attention between the columns of a row.

Gorishniy et al. (2021), "Revisiting Deep Learning Models for Tabular Data", section 3.3 and appendix E.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from onnxlearn.effects import at_least
from onnxlearn.errors import ParameterError
from onnxlearn.params import param
from onnxlearn.schema import Ingress, Schema
from onnxlearn_models.layers.activation import GATED, PLAIN_OR_GATED
from onnxlearn_models.layers.dropout import Dropout
from onnxlearn_models.layers.embedding import TokenEmbedding
from onnxlearn_models.layers.norm import TOKEN_NORMS
from onnxlearn_models.layers.numeric import NUM_EMBEDDINGS, NumEmbeddingConfig, build_num_embedding, embedded_kinds
from onnxlearn_models.layers.width import hidden_width, require_one_width
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.training.config import TrainConfig, choose_training

# Numbers in a tensor of an evaluation pass, which then fits into a processor's cache; rows of a pass at least.
EVALUATION_VALUES, EVALUATION_ROWS = 2**18, 16
# Numbers that a training step keeps for the gradient: 2 GB.
TRAINING_VALUES = 2**29
# Parts of a date, about.
DATE_TOKENS = 10


class Size(NamedTuple):
    """What suits a number of blocks."""

    d_block: int
    attention_dropout: float
    ffn_dropout: float


SIZES = (
    Size(96, 0.1, 0.0),
    Size(128, 0.15, 0.05),
    Size(192, 0.2, 0.1),
    Size(256, 0.25, 0.15),
    Size(320, 0.3, 0.2),
    Size(384, 0.35, 0.25),
)
"""For 1, 2, ... blocks; deeper networks are as wide as the last."""


@dataclass(frozen=True, kw_only=True)
class FTTransformerConfig(NumEmbeddingConfig):
    """Shape of the network.

    With a ``num_embedding`` the token of a number is its embedding, as in Gorishniy, Rubachev and Babenko (2022), "On
    Embeddings for Numerical Features in Tabular Deep Learning".
    """

    n_blocks: int = param(3, "transformer blocks", low=1)
    d_block: int | None = param(
        None, "width of a token and of the blocks (None: 96, 128, 192, 256, 320 or 384 for 1, 2, ... blocks)", low=1
    )
    token_initialization: Literal["uniform", "normal"] = param("uniform", "distribution of the initial tokens")
    attention_n_heads: int = param(8, "attention heads, which share d_block", low=1)
    attention_dropout: float | None = param(
        None, "share of the attention weights dropped (None: 0.1, 0.15, ... 0.35 for 1, 2, ... blocks)", low=0, high=0.95
    )
    attention_initialization: Literal["kaiming", "xavier"] = param("kaiming", "initial weights of queries, keys and values")
    attention_bias: bool = param(True, "biases in the linear maps of the attention")
    attention_normalization: str = param(
        "layer", "normalization of the attention, but where numbers enter it as they are", choices=TOKEN_NORMS,
        when=({"n_blocks": at_least(2)}, {"prenormalization": False}),
    )  # fmt: skip
    ffn_d_hidden: int | None = param(None, "width inside the feed-forward part (None: by ffn_d_hidden_multiplier)", low=1)
    ffn_d_hidden_multiplier: float | None = param(
        None, "ffn_d_hidden as a multiple of d_block (None: 4/3, or 2 where the activation is not gated)",
        low=0, low_open=True, high=100,
    )  # fmt: skip
    ffn_dropout: float | None = param(
        None, "share of the units inside the feed-forward part dropped (None: 0, 0.05, ... 0.25 for 1, 2, ... blocks)",
        low=0, high=0.95,
    )  # fmt: skip
    activation: str = param("reglu", "activation function of the feed-forward part", choices=PLAIN_OR_GATED)
    ffn_normalization: str = param("layer", "normalization of the feed-forward part", choices=TOKEN_NORMS)
    ffn_bias_first: bool = param(True, "bias in the first linear map of the feed-forward part")
    ffn_bias_second: bool = param(True, "bias in the second linear map of the feed-forward part")
    residual_dropout: float = param(
        0.0, "share of the units dropped that attention and feed-forward part add", low=0, high=0.95
    )
    prenormalization: bool = param(True, "normalize what goes into attention and feed-forward part, not the sums behind them")
    num_embedding: str = param(
        "none", "embedding of numbers as their tokens (none: a linear map)", choices=NUM_EMBEDDINGS, on="numbers"
    )

    def __post_init__(self) -> None:
        require_one_width("ffn_d_hidden", self.ffn_d_hidden, self.ffn_d_hidden_multiplier)
        d_block = self.d_block or self.size.d_block
        if d_block % self.attention_n_heads:
            raise ParameterError(
                f"attention_n_heads has to divide d_block: {self.attention_n_heads} heads do not share a width of {d_block}; "
                f"the next that works is d_block={-(-d_block // self.attention_n_heads) * self.attention_n_heads}"
            )

    @property
    def size(self) -> Size:
        """What suits this number of blocks."""
        return SIZES[min(self.n_blocks, len(SIZES)) - 1]

    def filled(self) -> FTTransformerConfig:
        """With width and dropouts that suit the number of blocks where they were left open."""
        usual = self.size._asdict()
        if self.num_embedding != "none":
            usual["d_num_embedding"] = self.d_block or self.size.d_block
        return dataclasses.replace(self, **{name: value for name, value in usual.items() if getattr(self, name) is None})


class NumberTokens(nn.Module):
    """A token for each number ``x`` of ``[N, n_num]``: ``x w + b``, with vectors of its own for each column."""

    def __init__(self, n_columns: int, d_token: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_columns, d_token))
        self.bias = nn.Parameter(torch.empty(n_columns, d_token))

    def forward(self, num: Tensor) -> Tensor:
        """From ``[N, n_num]`` to ``[N, n_num, d_token]``."""
        return num.unsqueeze(-1) * self.weight + self.bias


class CategoryTokens(nn.Module):
    """A token for each code: the vector of the code and one of its column."""

    def __init__(self, cardinalities: Sequence[int], d_token: int) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(cardinalities, d_token)
        self.bias = nn.Parameter(torch.empty(len(cardinalities), d_token))

    def forward(self, cat: Tensor) -> Tensor:
        """From ``[N, n_cat]`` to ``[N, n_cat, d_token]``."""
        tokens: Tensor = self.embedding(cat) + self.bias
        return tokens


class Tokenizer(nn.Module):
    """The tokens of a row: CLS, the same for all rows, in which the blocks gather the output; then one for each column.

    ``forward(num, cat)`` gives float32 ``[N, 1 + n_num + n_cat, d_token]``. Embedded numbers come before the other numbers.
    """

    undecayed: ClassVar[bool] = True

    def __init__(self, ingress: Ingress, d_token: int, config: FTTransformerConfig) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(d_token))
        embedding = build_num_embedding(ingress, config)
        self.n_embedded = 0 if embedding is None else len(embedded_kinds(ingress))
        n_linear = ingress.n_num - self.n_embedded
        self.numbers = NumberTokens(n_linear, d_token) if n_linear else None
        self.categories = CategoryTokens(ingress.cardinalities, d_token) if ingress.n_cat else None
        bound = d_token**-0.5
        for parameter in self.parameters():
            if config.token_initialization == "uniform":
                nn.init.uniform_(parameter, -bound, bound)
            else:
                nn.init.normal_(parameter, std=bound)
        # Only now: it begins as it does everywhere.
        self.num_embedding = embedding
        if embedding is not None and embedding.d_embedding != d_token:
            raise ParameterError(
                f"num_embedding={config.num_embedding!r} gives {embedding.d_embedding} numbers for each, and a token has "
                f"{d_token}: it has to give as many as config.d_num_embedding asks for"
            )

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set up what depends on the training rows."""
        if self.num_embedding is not None:
            self.num_embedding.initialize(inputs["num"][:, : self.n_embedded])

    def forward(self, num: Tensor | None, cat: Tensor | None) -> Tensor:
        """Make the tokens."""
        tokens = []
        if self.num_embedding is not None and num is not None:
            tokens.append(self.num_embedding(num[:, : self.n_embedded]))
        if self.numbers is not None and num is not None:
            tokens.append(self.numbers(num[:, self.n_embedded :] if self.n_embedded else num))
        if self.categories is not None and cat is not None:
            tokens.append(self.categories(cat))
        cls_token = self.cls_token.expand(tokens[0].shape[0], 1, -1)
        return torch.cat([cls_token, *tokens], dim=1)


class Attention(nn.Module):
    """Multi-head attention: ``forward(queries, tokens)``, ``[N, q, d]`` and ``[N, t, d]``, gives ``[N, q, d]``."""

    def __init__(self, d: int, config: FTTransformerConfig) -> None:
        super().__init__()
        n_heads, bias = config.attention_n_heads, config.attention_bias
        self.n_heads, self.scale = n_heads, (d // n_heads) ** -0.5
        self.query, self.key, self.value = (nn.Linear(d, d, bias=bias) for _ in range(3))
        # A single head has nothing to mix.
        self.mix = nn.Linear(d, d, bias=bias) if n_heads > 1 else None
        self.dropout = Dropout(config.attention_dropout or 0.0)
        if config.attention_initialization == "xavier":
            # As torch.nn.MultiheadAttention, in which the three are one matrix. Without a map that mixes the heads the values'
            # is the last one, which begins as any linear map does.
            for linear in (self.query, self.key, self.value)[: 3 if n_heads > 1 else 2]:
                nn.init.xavier_uniform_(linear.weight, gain=math.sqrt(0.5))
        for part in self.children():
            if isinstance(part, nn.Linear) and part.bias is not None:
                nn.init.zeros_(part.bias)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Attend."""
        query, key, value = self._heads(self.query(queries)), self._heads(self.key(tokens)), self._heads(self.value(tokens))
        # Not scaled_dot_product_attention: with dropout, for so few tokens, it is slower on a CPU.
        weights = functional.softmax(query @ key.transpose(2, 3) * self.scale, dim=-1)
        attended = (self.dropout(weights) @ value).transpose(1, 2).flatten(2)
        output: Tensor = attended if self.mix is None else self.mix(attended)
        return output

    def _heads(self, x: Tensor) -> Tensor:
        """From ``[N, t, d]`` to ``[N, n_heads, t, d / n_heads]``."""
        return torch.unflatten(x, 2, (self.n_heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two linear maps of each token, with activation and dropout in between."""

    def __init__(self, d: int, config: FTTransformerConfig) -> None:
        gated = config.activation in GATED
        # A gated activation halves the width; with these multipliers blocks of both kinds have about as many weights.
        d_hidden = hidden_width(d, config.ffn_d_hidden, config.ffn_d_hidden_multiplier, 4 / 3 if gated else 2)
        super().__init__(
            nn.Linear(d, d_hidden * (2 if gated else 1), bias=config.ffn_bias_first),
            PLAIN_OR_GATED[config.activation](),
            Dropout(config.ffn_dropout or 0.0),
            nn.Linear(d_hidden, d, bias=config.ffn_bias_second),
        )


class Block(nn.Module):
    """Attention and feed-forward part, both with a residual connection.

    ``forward(x)``: ``[N, t, d]`` gives the same shape, of the last block ``[N, 1, d]``: only the first token is read from it.
    """

    def __init__(self, d: int, config: FTTransformerConfig, *, is_first: bool, is_last: bool) -> None:
        super().__init__()
        self.is_last, self.prenormalization = is_last, config.prenormalization
        # Normalizing the tokens themselves would take the numbers away.
        bare = is_first and config.prenormalization
        self.attention_norm = nn.Identity() if bare else TOKEN_NORMS[config.attention_normalization](d)
        self.attention = Attention(d, config)
        self.ffn_norm = TOKEN_NORMS[config.ffn_normalization](d)
        self.ffn = FeedForward(d, config)
        self.dropout = Dropout(config.residual_dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Transform the tokens."""
        tokens = self.attention_norm(x) if self.prenormalization else x
        queries = tokens
        if self.is_last:
            x, queries = x[:, :1], tokens[:, :1]
        x = x + self.dropout(self.attention(queries, tokens))
        if self.prenormalization:
            return x + self._fed_forward(self.ffn_norm(x))
        x = self.attention_norm(x)
        output: Tensor = self.ffn_norm(x + self._fed_forward(x))
        return output

    def _fed_forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.dropout(self.ffn(x))
        return added


class FTTransformerNet(nn.Module):
    """Tokens, blocks, norm, ReLU, output layer; ``forward(num, cat)`` gives ``[N, n_outputs]``."""

    def __init__(self, ingress: Ingress, n_outputs: int, config: FTTransformerConfig) -> None:
        super().__init__()
        config = config.filled()
        d, last = config.d_block, config.n_blocks - 1
        assert d is not None
        self.tokenizer = Tokenizer(ingress, d, config)
        self.blocks = nn.Sequential(*(Block(d, config, is_first=i == 0, is_last=i == last) for i in range(config.n_blocks)))
        self.norm = nn.LayerNorm(d) if config.prenormalization else nn.Identity()
        self.head = nn.Linear(d, n_outputs)
        n_tokens = 1 + ingress.n_num + ingress.n_cat
        per_row = n_tokens * max(2 * d, config.attention_n_heads * n_tokens)
        self.evaluation_rows = max(EVALUATION_ROWS, EVALUATION_VALUES // per_row)

    def initialize(self, inputs: Mapping[str, Tensor]) -> None:
        """Set up what depends on the training rows."""
        self.tokenizer.initialize(inputs)

    def forward(self, num: Tensor | None = None, cat: Tensor | None = None) -> Tensor:
        """Logits, or predictions in scaled units."""
        x = self.blocks(self.tokenizer(num, cat)).flatten(1)
        output: Tensor = self.head(functional.relu(self.norm(x)))
        return output


def build_ft_transformer(schema: Schema, config: FTTransformerConfig) -> nn.Module:
    """The network for a schema whose ingress is set; its initial weights come from torch's global generator."""
    assert schema.ingress is not None
    return FTTransformerNet(schema.ingress, schema.n_outputs, config)


class FTTransformer(NetworkLearner):
    """Learner ``ft_transformer``."""

    name: ClassVar[str] = "ft_transformer"
    architecture = staticmethod(build_ft_transformer)
    architecture_config = FTTransformerConfig
    # DIFF: three times the package's learning rate, which falls along a cosine, and averaged weights, as all learners have
    # them. At 1e-4 without, small tables get worse scores in twice the epochs.
    defaults: Mapping[str, Any] = {
        "cat_encoding": "embedding",
        "num_scaler": "quantile",
        "lr": 3e-4,
        "weight_decay": 1e-5,
        "embedding_weight_decay": 0.0,
    }

    without: Mapping[str, str] = {
        "d_num_embedding": "the embedding of a number is its token, whose width is d_block",
        "norm_statistics": "it has no batch norm",
    }

    @classmethod
    def choose(cls, config: Any, train_config: TrainConfig, schema: Schema, n_rows: int) -> tuple[Any, TrainConfig]:
        """Width and dropouts by the number of blocks; no larger batches than fit into memory where there are many columns."""
        config, chosen = config.filled(), choose_training(train_config, schema, n_rows)
        if train_config.batch_size is None:
            assert chosen.batch_size is not None
            chosen = dataclasses.replace(chosen, batch_size=min(chosen.batch_size, rows_that_fit(schema, config)))
        return config, chosen


def rows_that_fit(schema: Schema, config: FTTransformerConfig) -> int:
    """How many rows' activations make :data:`TRAINING_VALUES`, about; at least 16."""
    assert config.d_block is not None
    n_tokens = 1 + sum(DATE_TOKENS if column.kind == "datetime" else 1 for column in schema.features)
    # Of each block: about 20 tensors of the tokens, three of the attention between them.
    per_row = config.n_blocks * n_tokens * (20 * config.d_block + 3 * config.attention_n_heads * n_tokens)
    return max(16, TRAINING_VALUES // per_row)
