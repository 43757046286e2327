"""Whether networks made into one still compute what they compute alone: shown by running them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from onnxlearn_models.stacked.lanes import Lanes, padding_mask
from onnxlearn_models.training.loop import Training
from onnxlearn_models.training.tensors import Tensors, arguments

# Rows that are run, at most; where models have batches of different sizes, those of some are one fewer.
N_ROWS = 16
# Sums in another order differ by a hundredth of it, another dropout mask by a hundred times.
TOLERANCE = 1e-4


@torch.no_grad()
def is_proven(network: nn.Module, trainings: Sequence[Training], lanes: Lanes) -> bool:
    """Whether the one network gives of some training rows what each model gives alone, in training and in evaluation.

    So have the running statistics to be alike, and what random numbers come next. Everything is left as it was.
    """
    buffers = [buffer for training in trainings for buffer in training.module.buffers()]
    random, before = lanes.states(), [buffer.clone() for buffer in buffers]

    def reset() -> None:
        for generator, state in zip(lanes.generators, random, strict=True):
            generator.set_state(state)
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)

    rows = _some_rows(trainings)
    try:
        for training_mode in (True, False):
            outputs = [_alone(training, part, lanes, i, training_mode) for i, (training, part) in enumerate(rows)]
            expected = [*outputs, *(buffer.clone() for buffer in buffers), *lanes.states()]
            reset()
            together = _together(network, [part for _, part in rows], lanes, training_mode)
            found = [*together, *(buffer.clone() for buffer in buffers), *lanes.states()]
            reset()
            if not all(_alike(a, b) for a, b in zip(found, expected, strict=True)):
                return False
    except Exception:  # noqa: BLE001  - a layer that is not made for a further dimension raises whatever comes to it
        return False
    finally:
        reset()
    return True


def _some_rows(trainings: Sequence[Training]) -> list[tuple[Training, Tensors]]:
    n_rows = min(N_ROWS, *(min(training.sizes) for training in trainings))
    differ = len({tuple(training.sizes) for training in trainings}) > 1
    return [
        (training, training.train.map(lambda tensor, n=n_rows - (differ and n_rows > 2 and i % 2): tensor[:n]))  # type: ignore[misc]
        for i, training in enumerate(trainings)
    ]


def _alone(training: Training, rows: Tensors, lanes: Lanes, lane: int, training_mode: bool) -> Tensor:  # noqa: FBT001
    training.module.train(training_mode)
    with lanes.drawing(lane):
        output: Tensor = training.module(**arguments(rows.inputs))
    return output


def _together(network: nn.Module, rows: Sequence[Tensors], lanes: Lanes, training_mode: bool) -> list[Tensor]:  # noqa: FBT001
    """The output of each model."""
    n_rows = [len(part) for part in rows]
    lanes.set_rows(n_rows, padding_mask(n_rows))
    inputs = {name: torch.stack([_padded(part.inputs[name], max(n_rows)) for part in rows]) for name in rows[0].inputs}
    output = network.train(training_mode)(**inputs)
    if output.ndim != 3:
        raise ValueError("members of a model are not members of a stack")
    return [part[:n] for part, n in zip(output, n_rows, strict=True)]


def _padded(tensor: Tensor, n_rows: int) -> Tensor:
    return torch.cat([tensor, tensor[:1].expand(n_rows - len(tensor), *tensor.shape[1:])])


def _alike(found: Tensor, expected: Tensor) -> bool:
    if torch.equal(found, expected):
        return True
    if found.shape != expected.shape or not found.is_floating_point():
        return False
    return bool((found - expected).abs().max() <= TOLERANCE * (1 + expected.abs().max()))
