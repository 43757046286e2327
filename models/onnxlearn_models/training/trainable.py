"""Whether a network can be trained as its learner's settings say: what would fail later is refused before the first batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from onnxlearn.errors import ParameterError
from onnxlearn.learner import Learner
from onnxlearn.processes import place
from onnxlearn_models.training.choices import require_choices
from onnxlearn_models.training.compiled import require_compilable
from onnxlearn_models.training.config import TrainConfig
from onnxlearn_models.training.modes import kept_norms, running_norms
from onnxlearn_models.training.optimizer import Group
from onnxlearn_models.training.precision import require_precision
from onnxlearn_models.training.sampling import even_sizes


def require_trainable(
    module: nn.Module, groups: Sequence[Group], config: TrainConfig, n_rows: int, learner: Learner, device: torch.device
) -> None:
    """Raise ``ParameterError`` where the learner's network cannot be trained like this on so many rows."""
    if not config.unfreeze and not any(parameter.requires_grad for parameter in module.parameters()):
        raise ParameterError(
            f"learner {learner.name!r}: the network has no weights to train: all of them are frozen, or it has none"
        )
    if (config.l1 or config.l2) and not any(group.l1 or group.l2 for group in groups):
        raise ParameterError("this learner sets its rates itself and takes no l1 or l2: use weight_decay")
    if learner.given.get("dropout_schedule") == "fade" and not any(_drops(part) for part in module.modules()):
        raise ParameterError(
            f"learner {learner.name!r}: dropout_schedule='fade' changes nothing in a network without dropout: leave it out, or "
            "give it dropout"
        )
    norms = running_norms(module)
    if config.norm_statistics != "trained" and not norms:
        raise ParameterError(
            f"learner {learner.name!r}: norm_statistics={config.norm_statistics!r} changes nothing in a network without batch "
            "norm: leave it out"
        )
    require_choices(config, groups)
    require_precision(config.precision, module, device)
    if config.compile:
        require_compilable(module, config)
    assert config.batch_size is not None
    n_processes = place().n_processes
    smallest = min(even_sizes(n_rows, config.batch_size)) // n_processes
    if smallest == 0:
        raise ParameterError(
            f"{n_processes} processes share the rows of each step, and steps have {min(config.batch_size, n_rows)}: choose a "
            "larger batch_size, or start fewer processes"
        )
    # A norm that waits is one that will be trained.
    batch = [norm for norm in norms.values() if isinstance(norm, nn.modules.batchnorm._BatchNorm)]
    if smallest == 1 and set(batch).difference(kept_norms(module, config.norm_statistics)):
        each = f" in each of {n_processes} processes" if n_processes > 1 else ""
        of, way_out = f"of {n_rows} training rows a step would have one{each}", "choose a larger batch_size"
        if n_rows == 1:
            of, way_out = "there is 1 training row", "give more rows"
            if config.subsample < 1:
                of, way_out = f"subsample={config.subsample:g} leaves 1", "choose a larger share"
        raise ParameterError(
            f"learner {learner.name!r}: batch norm needs at least two rows in each step, and {of}: {way_out}, or "
            f"{_without_batch_norm(learner)}"
        )


def _drops(part: nn.Module) -> bool:
    return isinstance(part, nn.Dropout) and part.p > 0


def _without_batch_norm(learner: Learner) -> str:
    """How to do without it: by the learner's own settings, where it has such."""
    ways = ["norm='layer'"] if learner.values.get("norm") == "batch" else []
    ways += ["num_norm=False"] if learner.values.get("num_norm") else []
    return " and ".join(ways) or "a learner without it, such as mlp"
