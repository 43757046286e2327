"""What encoders of images have in common."""

from __future__ import annotations

from torch import Tensor, nn


class Encoder(nn.Module):
    """From images to features: ``forward(x)`` takes float32 ``[N, C, h, w]`` and gives float32 ``[N, d_features]``.

    One whose parameters are all frozen, with the running statistics of its norms, computes as in evaluation while the rest is
    trained: dropout and stochastic depth would change features that nothing learns from.
    """

    d_features: int
    rests = True

    def forward(self, x: Tensor) -> Tensor:
        """Features of images."""
        raise NotImplementedError


class GivenFeatures(Encoder):
    """Features that come in the place of images: ``[N, d]`` as it is."""

    def __init__(self, d_features: int) -> None:
        super().__init__()
        self.d_features = d_features

    def forward(self, x: Tensor) -> Tensor:
        """The same."""
        return x


def initialize_convolutions(module: nn.Module) -> None:
    """He et al. (2015), "Delving Deep into Rectifiers": normal weights by the number of outputs, as in torchvision."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
