"""Which trainings are made one, and when that is quicker than one after the other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from onnxlearn.processes import place
from onnxlearn_models.prepared import Prepared
from onnxlearn_models.training.callbacks.named import callback_of
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.modes import kept_norms
from onnxlearn_models.training.sampling import even_sizes
from onnxlearn_models.training.tensors import OWN_ARGUMENTS

# Multiplications of one model's step, forwards, above which its arithmetic takes so long that nothing is saved beside it.
# Speed-up of 10 models of three hidden layers on two cores, against one after the other by the plainest loop:
#   width  batch  multiplications  speed-up        width  batch  multiplications  speed-up
#      32     32          0.1 M      4.9             128     64          2.3 M      3.0
#      64     32          0.3 M      6.3             256     32          4.4 M      2.0
#      64     64          0.6 M      5.1             256    256           35 M      1.2
# On one core a step of 4.4 M takes as long in both ways.
LARGEST_STEP = 5e6
# More models save little more of what a step costs besides its arithmetic; their weights have to stay in the cache.
MOST = 10
# For the rows, which each of the models has for itself.
MOST_BYTES = 2**29


def is_quicker(prepared: Prepared, n_models: int) -> bool:
    """Whether so many models of this form are trained quicker together than one by one.

    It depends on them alone, not on the machine: the last digits of the weights are others.
    """
    config, ingress = prepared.config, prepared.preprocessing.ingress
    assert config.batch_size is not None
    n_bytes = n_models * prepared.train.task.n_rows * (4 * ingress.n_num + 8 * ingress.n_cat)
    return prepared.n_weights * config.batch_size <= LARGEST_STEP and n_bytes <= MOST_BYTES and _is_plain(prepared)


def _is_plain(prepared: Prepared) -> bool:
    """Whether its steps are such that the engine makes them: one batch, one pass, one step, on the CPU."""
    config, module = prepared.config, prepared.module
    settings = config.fold_parallel == "auto" and config.accumulate == 1 and not config.mixup and not config.compile
    settings = settings and config.precision == "float32" and place().n_processes == 1
    own = getattr(module, "n_batch_members", 1) > 1 or hasattr(module, "penalty") or bool(config.unfreeze)
    own = (
        own
        or bool(kept_norms(module, config.norm_statistics))
        or bool(prepared.preprocessing.ingress.shapes.keys() - set(OWN_ARGUMENTS))
    )
    return settings and not own and prepared.device.type == "cpu" and all(callback_of(c).stackable for c in config.callbacks)


def form_of(prepared: Prepared) -> Hashable:
    """What has to be equal for models to be made one."""
    config, rows = prepared.config, prepared.train
    assert config.batch_size is not None
    sizes = even_sizes(rows.task.n_rows, config.batch_size)
    shapes = tuple((name, parameter.shape) for name, parameter in prepared.module.named_parameters())
    return type(prepared.module), shapes, len(sizes), rows.weights is None


def are_stackable(trainings: Sequence[Training]) -> bool:
    """Whether nothing in the settings of these trainings, which have one form, stands against making them one."""
    callbacks = [callback for training in trainings for callback in training.callbacks.all]
    if any(kept_norms(training.module, training.config.norm_statistics) for training in trainings):
        return False
    sizes = {training.n_batches for training in trainings}
    flats = {tuple(p.shape for p in training.optimizer.flat.parameters) for training in trainings}
    parts = [*(callback.stackable for callback in callbacks), *(training.optimizer.stackable for training in trainings)]
    return len(sizes) == len(flats) == 1 and flats != {()} and all(parts)
