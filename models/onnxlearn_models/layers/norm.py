"""Normalizations by name: a line here makes one a choice of every learner with a ``norm``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda _width: nn.Identity(),
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
}
"""From the width of ``[N, d]`` to the module that normalizes it."""

# Over all tokens of a batch it would mix the columns.
_NOT_OF_TOKENS = "batch"


class TokenNorms(Mapping[str, Callable[[int], nn.Module]]):
    """From the width of ``[N, t, d]`` to the module that normalizes each token: those of :data:`NORMS` but batch norm."""

    def __getitem__(self, name: str) -> Callable[[int], nn.Module]:
        if name == _NOT_OF_TOKENS:
            raise KeyError(name)
        make = NORMS[name]
        return lambda width: _of_tokens(make(width))

    def __iter__(self) -> Iterator[str]:
        return (name for name in NORMS if name != _NOT_OF_TOKENS)

    def __len__(self) -> int:
        return sum(1 for _ in self)


TOKEN_NORMS = TokenNorms()


def _of_tokens(norm: nn.Module) -> nn.Module:
    # These look at the last dimension, whatever stands before it.
    return norm if isinstance(norm, nn.Identity | nn.LayerNorm | nn.RMSNorm) else EachToken(norm)


class EachToken(nn.Module):
    """A norm of rows ``[N, d]`` for the tokens ``[N, t, d]``."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each token."""
        normed: Tensor = self.norm(x.flatten(0, 1))
        return normed.reshape(x.shape)
