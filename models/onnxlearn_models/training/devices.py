"""Where a network is trained, and the random numbers there."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from onnxlearn.errors import ParameterError, ProviderError
from onnxlearn.processes import place


class _Devices(Mapping[str, str]):
    """Names of devices and what they are; ``cuda:0`` stands for any number."""

    _all: Mapping[str, str] = {
        "auto": "the first there is of cuda, mps and cpu",
        "cpu": "the processor",
        "cuda": "the NVIDIA (or ROCm) GPU that torch uses by default",
        "cuda:0": "the GPU of that number",
        "mps": "the GPU of an Apple computer",
    }

    def __getitem__(self, name: str) -> str:
        return self._all[re.sub(r"(?<=^cuda:)\d+$", "0", name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


DEVICES = _Devices()
"""What ``device`` may be.

>>> "cuda:3" in DEVICES, "cuda:" in DEVICES, "gpu" in DEVICES
(True, False, False)
"""


def choose_device(name: str) -> torch.device:
    """The device to train on; of several processes each has a GPU of its own.

    Raises: ProviderError where that device is not there, ParameterError for one that several processes cannot share.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and torch.backends.mps.is_available() and place().n_processes == 1:
            name = "mps"
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        _require_mps()
        return torch.device("mps")
    return _gpu(name)


def _require_mps() -> None:
    if not torch.backends.mps.is_available():
        reason = "finds none" if torch.backends.mps.is_built() else "is built without it"
        raise ProviderError(f"device='mps', the GPU of an Apple computer, is not available: torch {reason}; {_WAY_OUT}")
    if place().n_processes > 1:
        raise ParameterError("device='mps' is one GPU, which several processes cannot share: start one, or use device='cpu'")


def _gpu(name: str) -> torch.device:
    if not torch.cuda.is_available():
        raise ProviderError(f"device={name!r} is not available: torch finds no GPU; {_WAY_OUT}")
    here, n_gpus = place(), torch.cuda.device_count()
    if here.n_processes > 1:
        if name != "cuda":
            raise ParameterError(f"device={name!r} is one GPU, and each of several processes has its own: use device='cuda'")
        if here.n_local > n_gpus:
            raise ProviderError(
                f"{here.n_local} processes on this machine need a GPU each, and torch finds {n_gpus}: start as many "
                "processes, or use device='cpu'"
            )
        return torch.device("cuda", here.local_rank)
    if name == "cuda":
        return torch.device("cuda")
    if int(name.partition(":")[2]) >= n_gpus:
        raise ProviderError(f"device={name!r} is not available: torch finds {n_gpus} GPUs, counted from cuda:0; {_WAY_OUT}")
    return torch.device(name)


_WAY_OUT = "use device='cpu' or 'auto'"


def random_states(device: torch.device) -> list[Tensor]:
    """Where torch's random numbers stand: those of the CPU, and those of the device if it has its own."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    if device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


@contextlib.contextmanager
def kept_random(device: torch.device) -> Iterator[None]:
    """The random numbers go on afterwards as if there had been nothing inside."""
    before = random_states(device)
    try:
        yield
    finally:
        set_random_states(device, before)


def set_random_states(device: torch.device, states: Sequence[Tensor]) -> None:
    """Go on from what :func:`random_states` gave."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    if device.type == "mps":
        torch.mps.set_rng_state(states[1])
