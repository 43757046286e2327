"""Features of images that are computed once, as long as nothing of what makes them is trained."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from onnxlearn.errors import ParameterError
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.callbacks.unfreeze import Unfreeze
from onnxlearn_models.training.modes import is_resting
from onnxlearn_models.training.precision import Precision, computing
from onnxlearn_models.training.sampling import even_sizes
from onnxlearn_models.training.tensors import Tensors

if TYPE_CHECKING:
    from onnxlearn_models.training.loop import Training


class CachedFeatures(Callback):
    """Feeds a network features in the place of images while its encoders rest: an epoch then costs what stands behind them.

    The network has ``encoders`` by ingress, and ``featured``, which is set while features come. ``wanted``: whether to do so;
    ``auto``: where it is possible. ``most_bytes``: of the features of all rows.

    Raises: ParameterError before the first batch where it is wanted and not possible, and for a callback that lets encoders
    join in the middle of an epoch.
    """

    # After all that may freeze or unfreeze.
    order: ClassVar[int] = sys.maxsize - 1
    recorded: ClassVar[bool] = False

    def __init__(self, wanted: bool | Literal["auto"], most_bytes: float) -> None:  # noqa: FBT001  as the setting has it
        self.wanted, self.most_bytes = wanted, most_bytes
        self._possible = False

    def begin(self, ctx: Training) -> None:
        """Look at what stands against it."""
        self._images = ctx.train, ctx.valid
        obstacle = self._obstacle(ctx) if self.wanted else "it is not wanted"
        if self.wanted is True and not obstacle and ctx.epoch == 0 and not _rest(ctx):
            obstacle = "something of the images' encoders is trained from the first epoch on: freeze='images.*' leaves them out"
        if self.wanted is True and obstacle:
            raise ParameterError(f"cache_features=True cannot be: {obstacle}; or leave it to cache_features='auto'")
        self._possible = not obstacle

    def epoch_begin(self, ctx: Training) -> None:
        """Feed features, or images again."""
        module: Any = ctx.module
        wanted = self._possible and _rest(ctx)
        if wanted == module.featured:
            return
        module.featured = wanted
        if not wanted:
            ctx.feed(*self._images)
            return
        train, valid = self._images
        kept = features_of(module, train, ctx.config.precision), None if valid is None else features_of(module, valid)
        ctx.feed(*kept)

    def batch_begin(self, ctx: Training) -> None:
        """See to it that features are what the network would make of the images."""
        if getattr(ctx.module, "featured") and not _rest(ctx):  # noqa: B009  torch's modules have any attribute
            raise ParameterError(
                "a callback lets the encoders of images be trained from the middle of an epoch on, and features had been "
                "computed for all of it: set cache_features=False"
            )

    def exit(self, ctx: Training) -> None:
        """Leave the network as it was."""
        ctx.module.featured = False  # type: ignore[assignment]

    def _obstacle(self, ctx: Training) -> str:
        """Why it is not possible whatever is frozen; empty where it is."""
        encoders: dict[str, Any] = _encoders(ctx.module)
        rows = len(ctx.train) + len(ctx.valid or ())
        n_bytes = 4 * rows * sum(encoder.d_features for encoder in encoders.values())
        if not encoders:
            return "no images go through an encoder of this network"
        if ctx.change is not None:
            return "augmentation makes other images in each epoch"
        if ctx.config.mixup:
            return "mixup mixes images, not their features"
        if any(isinstance(callback, Unfreeze) and callback.batch for callback in ctx.callbacks.all):
            return "unfreeze lets parameters join in the middle of an epoch"
        if n_bytes > self.most_bytes:
            return f"the features of {rows} rows are {n_bytes / 1e9:.2g} GB, more than image_memory"
        return ""


def _encoders(module: nn.Module) -> dict[str, nn.Module]:
    """Those that have something to compute."""
    encoders: dict[str, nn.Module] = getattr(module, "encoders", {})
    return {name: encoder for name, encoder in encoders.items() if any(True for _ in encoder.parameters())}


def _rest(ctx: Training) -> bool:
    return all(is_resting(encoder, ctx.config.norm_statistics) for encoder in _encoders(ctx.module).values())


@torch.no_grad()
def features_of(module: nn.Module, rows: Tensors, precision: Precision = "float32") -> Tensors:
    """The same rows with features, float32 ``[N, d]``, in the place of images; these are taken part by part."""
    from onnxlearn_models.training.loop import evaluation_rows

    encoders, found = _encoders(module), list[dict[str, Tensor]]()
    for part in rows.batches(even_sizes(len(rows), evaluation_rows(module, rows))):
        made = {
            name: computing(encoder.eval(), precision, part.target.device)(x=part.inputs[name])
            for name, encoder in encoders.items()
        }
        found.append({**part.inputs, **made})
    inputs = {name: torch.cat([part[name] for part in found]) for name in found[0]}
    return Tensors(inputs, rows.target, rows.weight)
