"""Embeddings of numbers by name: a line in :data:`NUM_EMBEDDINGS` makes one a choice of every learner that embeds numbers.

Gorishniy, Rubachev and Babenko (2022), "On Embeddings for Numerical Features in Tabular Deep Learning": ``linear``,
which ends in a ReLU, ``periodic`` and ``piecewise_linear``. Holzmüller, Grinsztajn and Steinwart (2024), "Better by
default", section 3: ``pbld``.
Every column has weights of its own. Flags, which hold two values, are not embedded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from onnxlearn.effects import Values
from onnxlearn.params import param
from onnxlearn.schema import Ingress, NumKind
from onnxlearn_models.layers.fused import may_fuse

# Range of the initial frequencies of dates: from the whole span, which scaling makes about 1, to a twentieth of it.
TIME_SCALES = (0.1, 20.0)

# Smallest width of a bin, as a share of its column's range and in scaled units: float32 does not resolve much less.
SMALLEST_BIN = (1e-6, 1e-12)


class NumEmbedding(nn.Module):
    """A vector of ``d_embedding`` numbers for each of ``n_columns`` numbers; ``d_out`` is the width of them side by side.

    ``forward(num)``: float32 ``[N, n_columns]`` gives ``[N, n_columns, d_embedding]``.
    """

    undecayed: ClassVar[bool] = True

    def __init__(self, n_columns: int, d_embedding: int) -> None:
        super().__init__()
        self.n_columns, self.d_embedding = n_columns, d_embedding
        self.d_out = n_columns * d_embedding

    def initialize(self, num: Tensor) -> None:
        """Set up what depends on the training rows, ``[N, n_columns]``: here nothing."""


class LinearEmbedding(NumEmbedding):
    """For each number ``x`` the values ``relu(x w + b)``; without ``activation`` no ReLU."""

    def __init__(self, n_columns: int, d_embedding: int, *, activation: bool = True) -> None:
        super().__init__(n_columns, d_embedding)
        self.activation = nn.ReLU() if activation else nn.Identity()
        bound = d_embedding**-0.5
        self.weight = nn.Parameter(_uniform(bound, n_columns, d_embedding))
        self.bias = nn.Parameter(_uniform(bound, n_columns, d_embedding))

    def forward(self, num: Tensor) -> Tensor:
        """Embed every column."""
        embedded: Tensor = self.activation(num.unsqueeze(-1) * self.weight + self.bias)
        return embedded


class PeriodicEmbedding(NumEmbedding):
    """PLR: for each number ``x`` the values ``relu([cos(2 pi x w), sin(2 pi x w)] W + c)``.

    ``scales``: float32 ``[n_columns, n_frequencies]``, the standard deviations that the frequencies ``w`` start from, which are
    cut off at three of them. ``lite``: one ``W`` and ``c`` for all columns (Gorishniy et al. 2024, "TabR", section 4.1).
    Without ``activation`` no ReLU.
    """

    def __init__(self, scales: Tensor, d_embedding: int, *, lite: bool = False, activation: bool = True) -> None:
        n_columns, n_frequencies = scales.shape
        super().__init__(n_columns, d_embedding)
        self.frequency = nn.Parameter(nn.init.trunc_normal_(torch.empty_like(scales), a=-3, b=3) * scales)
        self.activation = nn.ReLU() if activation else nn.Identity()
        d_waves = 2 * n_frequencies
        self.linear = nn.Linear(d_waves, d_embedding) if lite else ColumnLinear(n_columns, d_waves, d_embedding)

    def forward(self, num: Tensor) -> Tensor:
        """Embed every column."""
        angles = num.unsqueeze(-1) * (2 * math.pi * self.frequency)
        embedded: Tensor = self.activation(self.linear(torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)))
        return embedded


class PBLDEmbedding(NumEmbedding):
    """Periodic bias linear dense: for each number ``x`` the values ``cos(2 pi x w + b) W + c``.

    ``scales`` as in :class:`PeriodicEmbedding`, of a normal distribution that is not cut off. The number itself, which the
    paper puts beside these values, is the caller's to add.
    """

    def __init__(self, scales: Tensor, d_embedding: int) -> None:
        n_columns, n_frequencies = scales.shape
        super().__init__(n_columns, d_embedding)
        self.frequency = nn.Parameter(torch.randn_like(scales) * scales)
        self.phase = nn.Parameter(_uniform(math.pi, n_columns, n_frequencies))
        self.linear = ColumnLinear(n_columns, n_frequencies, d_embedding)

    def forward(self, num: Tensor) -> Tensor:
        """Embed every column."""
        if self.training and may_fuse(num):
            return embed_columns(num, self.frequency, self.phase, self.linear.weight, self.linear.bias)
        embedded: Tensor = self.linear(torch.cos(num.unsqueeze(-1) * (2 * math.pi * self.frequency) + self.phase))
        return embedded


def embed_columns(num: Tensor, frequency: Tensor, phase: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The training step of :class:`PBLDEmbedding`: ``[N, p]`` to ``[N, p, d]``; the parameters have ``p`` columns."""
    embedded: Tensor = _PBLD.apply(num, frequency, phase, weight, bias)  # type: ignore[no-untyped-call]
    return embedded


class _PBLD(torch.autograd.Function):
    """The training step of :class:`PBLDEmbedding`; numbers themselves get no gradient.

    Rows come last, as the products of such narrow matrices want them. The cosine is computed as a sine, whose derivative needs
    no change of sign.
    """

    @staticmethod
    def forward(ctx: Any, num: Tensor, frequency: Tensor, phase: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """From ``[N, p]`` to ``[N, p, d]``."""
        column = num.t().contiguous().unsqueeze(1)
        angles = torch.baddbmm((phase + math.pi / 2).unsqueeze(-1), (2 * math.pi * frequency).unsqueeze(-1), column)
        waves = torch.sin(angles)
        ctx.save_for_backward(column, waves, angles.cos_(), weight)
        return torch.baddbmm(bias.unsqueeze(-1), weight.mT, waves).permute(2, 0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients; what was kept for them is overwritten."""
        column, waves, slope, weight = ctx.saved_tensors
        grad = grad.permute(1, 2, 0).contiguous()
        to_angle = slope.mul_(torch.bmm(weight, grad))
        of_phase = to_angle.sum(dim=2)
        of_frequency = to_angle.mul_(column).sum(dim=2).mul_(2 * math.pi)
        return None, of_frequency, of_phase, torch.bmm(waves, grad.mT), grad.sum(dim=2)


class PiecewiseLinearEmbedding(NumEmbedding):
    """PLE: a number's position in the bins of its column, mapped linearly.

    Bin ``[a, b]`` gives ``(x - a) / (b - a)``, cut off at 0 below it unless it is the first and at 1 above it unless it is the
    last. Version ``"A"`` is the paper's, with a ReLU at the end; ``"B"`` (Gorishniy et al. 2025, "TabM", section 3) has no
    activation, begins as a linear map of ``x`` itself and learns what the bins add.

    The bins come from :meth:`initialize`: one to ``min_bin_rows`` rows, but at least two. There are fewer where a column has
    fewer distinct values. What the other bins give is always 0.
    """

    left: Tensor
    per_width: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self, n_columns: int, n_bins: int, d_embedding: int, *, version: Literal["A", "B"] = "B", min_bin_rows: int = 1
    ) -> None:
        super().__init__(n_columns, d_embedding)
        self.n_bins, self.is_b, self.min_bin_rows = n_bins, version == "B", min_bin_rows
        # In version B the number itself stands before its bins, as a bin without bounds.
        n_parts = n_bins + self.is_b
        self.linear = ColumnLinear(n_columns, n_parts, d_embedding)
        for name, value in (("left", 0.0), ("per_width", 0.0), ("low", 0.0), ("high", 1.0)):
            self.register_buffer(name, torch.full((n_columns, n_parts), value))
        if self.is_b:
            bound = d_embedding**-0.5
            with torch.no_grad():
                self.linear.weight.zero_()
                self.linear.weight[:, 0].uniform_(-bound, bound)
                self.linear.bias.uniform_(-bound, bound)
            self.per_width[:, 0], self.low[:, 0], self.high[:, 0] = 1.0, -math.inf, math.inf

    @torch.no_grad()
    def initialize(self, num: Tensor) -> None:
        """Quantiles of these rows as edges of the bins."""
        # DIFF: the package makes all bins of however few rows; on small tables its networks are too sure of themselves.
        n_bins = min(self.n_bins, max(2, len(num) // self.min_bin_rows))
        for column, edges in enumerate(quantile_bins(num, n_bins)):
            self._set_bins(column, edges.to(num.device))

    def _set_bins(self, column: int, edges: Tensor) -> None:
        first, n = int(self.is_b), len(edges) - 1
        if n < 1:
            return
        bins = slice(first, first + n)
        self.left[column, bins] = edges[:-1]
        self.per_width[column, bins] = 1 / edges.diff()
        self.low[column, first] = -math.inf
        self.high[column, first + n - 1] = math.inf

    def forward(self, num: Tensor) -> Tensor:
        """Embed every column."""
        # Not x / (b - a) - a / (b - a): narrow bins far from zero would cancel.
        position = (num.unsqueeze(-1) - self.left) * self.per_width
        embedded: Tensor = self.linear(torch.clamp(position, self.low, self.high))
        return embedded if self.is_b else torch.relu(embedded)


class ColumnLinear(nn.Module):
    """A linear map of its own for each column: ``[N, n_columns, d_in]`` to ``[N, n_columns, d_out]``."""

    def __init__(self, n_columns: int, d_in: int, d_out: int) -> None:
        super().__init__()
        bound = d_in**-0.5
        self.weight = nn.Parameter(_uniform(bound, n_columns, d_in, d_out))
        self.bias = nn.Parameter(_uniform(bound, n_columns, d_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map every column."""
        # Not a product of transposed tensors: ONNX Runtime fuses that into one which crashes where there are no rows.
        return torch.einsum("npi,pio->npo", x, self.weight) + self.bias


def quantile_bins(num: Tensor, n_bins: int) -> list[Tensor]:
    """Edges of at most ``n_bins`` bins for each column of ``[N, p]``: the distinct ones of its ``n_bins + 1`` quantiles.

    Linear interpolation between the rows. A column of one value has a single edge. Edges that lie closer together than
    :data:`SMALLEST_BIN` count as one.

    >>> quantile_bins(torch.tensor([[0.0, 7], [1, 7], [2, 7], [8, 7]]), 2)
    [tensor([0.0000, 1.5000, 8.0000]), tensor([7.])]
    """
    # numpy sorts several times faster than torch.
    columns = np.sort(num.detach().cpu().numpy().T, axis=1)
    at = np.linspace(0, columns.shape[1] - 1, n_bins + 1)
    below, share = np.floor(at).astype(np.int64), at % 1
    lower, upper = columns[:, below], columns[:, np.ceil(at).astype(np.int64)]
    quantiles = (lower + (upper - lower) * share).astype(columns.dtype)
    return [torch.from_numpy(_distinct(row)) for row in quantiles]


def _distinct(edges: np.ndarray) -> np.ndarray:
    relative, absolute = SMALLEST_BIN
    smallest = max(relative * float(edges[-1] - edges[0]), absolute)
    return edges[np.diff(edges, prepend=-np.inf) > smallest]


def frequency_scales(kinds: Sequence[NumKind], n_frequencies: int, scale: float) -> Tensor:
    """Standard deviations of the frequencies, ``[p, n_frequencies]``: one for numbers, a geometric range for times.

    What repeats in time (days, weeks) is much shorter than the whole span.

    >>> frequency_scales(["number", "time"], 3, 0.1)
    tensor([[ 0.1000,  0.1000,  0.1000],
            [ 0.1000,  1.4142, 20.0000]])
    """
    low, high = map(math.log10, TIME_SCALES)
    numbers, times = torch.full((n_frequencies,), scale), torch.logspace(low, high, n_frequencies)
    return torch.stack([times if kind == "time" else numbers for kind in kinds])


def _uniform(bound: float, *shape: int) -> Tensor:
    return (2 * torch.rand(shape) - 1) * bound


Factory: TypeAlias = "Callable[[Sequence[NumKind], NumEmbeddingConfig], NumEmbedding | None]"
"""(kinds of the columns, settings) -> embedding, or ``None`` where numbers stay as they are."""


def _none(_kinds: Sequence[NumKind], _config: NumEmbeddingConfig) -> None:
    return None


def _linear(kinds: Sequence[NumKind], config: NumEmbeddingConfig) -> NumEmbedding:
    return LinearEmbedding(len(kinds), config.d_num_embedding or 32, activation=config.num_embedding_activation)


def _periodic(kinds: Sequence[NumKind], config: NumEmbeddingConfig) -> NumEmbedding:
    scales = frequency_scales(kinds, config.n_frequencies or 48, config.frequency_scale or 0.01)
    lite, activation = config.periodic_lite, config.num_embedding_activation
    return PeriodicEmbedding(scales, config.d_num_embedding or 24, lite=lite, activation=activation)


def _piecewise_linear(kinds: Sequence[NumKind], config: NumEmbeddingConfig) -> NumEmbedding:
    d_embedding = config.d_num_embedding or 16
    version, min_bin_rows = config.piecewise_version, config.min_bin_rows
    return PiecewiseLinearEmbedding(len(kinds), config.n_bins, d_embedding, version=version, min_bin_rows=min_bin_rows)


def _pbld(kinds: Sequence[NumKind], config: NumEmbeddingConfig) -> NumEmbedding:
    scales = frequency_scales(kinds, config.n_frequencies or 16, config.frequency_scale or 0.1)
    return PBLDEmbedding(scales, config.d_num_embedding or 3)


NUM_EMBEDDINGS: dict[str, Factory] = {
    "none": _none,
    "linear": _linear,
    "periodic": _periodic,
    "piecewise_linear": _piecewise_linear,
    "pbld": _pbld,
}

# An embedding that is not here may read all of them.
_WAVES = {"d_num_embedding", "n_frequencies", "frequency_scale"}
_SETTINGS: dict[str, set[str]] = {
    "none": set(),
    "linear": {"d_num_embedding", "num_embedding_activation"},
    "periodic": {*_WAVES, "periodic_lite", "num_embedding_activation"},
    "piecewise_linear": {"d_num_embedding", "n_bins", "min_bin_rows", "piecewise_version"},
    "pbld": _WAVES,
}


def reading(setting: str) -> dict[str, Values]:
    """Beside which embeddings of numbers this setting of :class:`NumEmbeddingConfig` counts."""
    names = [name for name, settings in _SETTINGS.items() if setting in settings]
    return {"num_embedding": Values(f"={' or '.join(names)}", lambda name: setting in _SETTINGS.get(name, {setting}))}


@dataclass(frozen=True, kw_only=True)
class NumEmbeddingConfig:
    """What becomes of numbers; the settings of architectures that embed them inherit these.

    The defaults of width, frequencies and bins are those of the papers and of the package rtdl_num_embeddings.
    """

    num_embedding: str = param("none", "embedding of numbers", choices=NUM_EMBEDDINGS, on="numbers")
    d_num_embedding: int | None = param(
        None, "width of the embedding of a number (None: pbld 3, piecewise_linear 16, periodic 24, linear 32)", low=1,
        when=reading("d_num_embedding"), on="numbers",
    )  # fmt: skip
    n_frequencies: int | None = param(
        None, "frequencies (None: pbld 16, periodic 48)", low=1, when=reading("n_frequencies"), on="numbers"
    )
    frequency_scale: float | None = param(
        None, "standard deviation of the initial frequencies, per scaled unit (None: pbld 0.1, periodic 0.01)",
        low=0, low_open=True, when=reading("frequency_scale"), on="numbers",
    )  # fmt: skip
    periodic_lite: bool = param(
        False, "one linear map for all numbers instead of one for each", when=reading("periodic_lite"), on="numbers"
    )
    num_embedding_activation: bool = param(
        True, "the embedding ends in a ReLU", when=reading("num_embedding_activation"), on="numbers"
    )
    n_bins: int = param(
        48, "bins, between quantiles of the training rows", low=2, high=1000, when=reading("n_bins"), on="numbers"
    )
    min_bin_rows: int = param(
        32, "training rows to a bin at least, by having fewer bins", low=1, when=reading("min_bin_rows"), on="numbers"
    )
    piecewise_version: Literal["A", "B"] = param(
        "B", "A ends in a ReLU, B begins as a linear map of the number", when=reading("piecewise_version"), on="numbers"
    )


def embedded_kinds(ingress: Ingress) -> tuple[NumKind, ...]:
    """Kinds of the columns of ``num`` that are embedded: the first ones, for flags stand last.

    >>> embedded_kinds(Ingress(num_names=("x", "day", "x:missing"), num_kinds=("number", "time", "flag")))
    ('number', 'time')
    """
    return tuple(kind for kind in ingress.num_kinds if kind != "flag")


def build_num_embedding(ingress: Ingress, config: NumEmbeddingConfig) -> NumEmbedding | None:
    """The embedding of the columns that :func:`embedded_kinds` tells, or ``None`` where they stay as they are."""
    kinds = embedded_kinds(ingress)
    return NUM_EMBEDDINGS[config.num_embedding](kinds, config) if kinds else None
