"""Which trainings are made one, and when that is quicker than one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from onnxlearn_models.training.loop import Training

# Multiplications of one model's step, forwards, above which its arithmetic takes so long that nothing is saved beside it.
# Speed-up of 10 models of three hidden layers on one core, against one after the other by a loop of the plainest kind:
#   width  batch  multiplications  speed-up        width  batch  multiplications  speed-up
#      32     32          0.1 M      6.5             128     32          1.1 M      2.3
#      64     32          0.3 M      4.7             128     64          2.3 M      1.9
#      64     64          0.6 M      3.4             256     32          4.4 M      1.1
#      64    256          2.5 M      1.9             128    256          9.2 M      1.2
LARGEST_STEP = 4e6
# More models save little more of what a step costs besides its arithmetic; their weights have to stay in the cache.
MOST = 10
# Memory for the rows of all, which each fold has for itself.
MOST_BYTES = 2**29


def are_stackable(trainings: Sequence[Training]) -> bool:
    """Whether these trainings can be made one, as far as their settings tell; whether their networks can, has to be shown."""
    first = trainings[0]
    same = {
        (type(t.module), t.n_batches, t.device, tuple(t.train.inputs), t.train.weight is None, t.config.fold_parallel)
        for t in trainings
    }
    return len(same) == 1 and all(_stands_alone(t) for t in trainings) and len(first.optimizer.flat.values) > 0


def _stands_alone(training: Training) -> bool:
    """Whether its steps are what the engine makes of them: one batch, one forward pass, one step."""
    config, module = training.config, training.module
    plain = not config.mixup and config.accumulate == 1 and config.fold_parallel == "auto" and training.device.type == "cpu"
    own = getattr(module, "n_batch_members", 1) > 1 or hasattr(module, "penalty")
    return plain and not own and all(callback.stackable for callback in training.callbacks.all)


def is_quicker(module: nn.Module, batch_size: int, n_bytes: int) -> bool:
    """Whether models of this form with such batches are trained quicker together than one by one.

    ``n_bytes``: of the rows of all. It depends on the models alone, not on the machine: the last digits of the weights differ.
    """
    n_weights = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    return n_weights * batch_size <= LARGEST_STEP and n_bytes <= MOST_BYTES
