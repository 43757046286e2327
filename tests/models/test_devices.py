"""Where networks are trained: names, what is refused, random numbers."""

import pytest
import torch

from onnxlearn.errors import ParameterError, ProviderError
from onnxlearn_models.mlp import MLP
from onnxlearn_models.training.devices import DEVICES, choose_device, kept_random, random_states, set_random_states

CPU = torch.device("cpu")


@pytest.fixture
def two_gpus(monkeypatch):
    """As far as torch tells: nothing is computed on them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def apple(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


def processes(monkeypatch, rank, size):
    for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda", "cuda:0", "cuda:15", "mps"])
def test_names_of_devices_are_known(name):
    assert DEVICES[name]
    assert MLP(device=name).values["device"] == name


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:1:2", "mps:0", "CPU", ""])
def test_other_names_are_refused_with_the_choices(name):
    with pytest.raises(ParameterError, match=r"device has to be auto \| cpu \| cuda \| cuda:0 \| mps, not"):
        MLP(device=name)


def test_a_device_says_nothing_of_the_result():
    assert "device" not in MLP(device="cpu").to_dict()["params"]
    assert MLP(precision="bf16").to_dict()["params"]["precision"] == "bf16"


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_what_is_not_there_is_refused(name):
    with pytest.raises(ProviderError, match=rf"^device='{name}'.* is not available: torch .*; use device='cpu' or 'auto'$"):
        choose_device(name)


def test_auto_takes_the_first_there_is(two_gpus):
    assert choose_device("auto") == torch.device("cuda")


def test_auto_takes_an_apples_gpu(apple):
    assert choose_device("auto") == torch.device("mps")
    assert choose_device("mps") == torch.device("mps")


def test_a_gpu_that_is_not_there_is_refused_with_how_many_there_are(two_gpus):
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ProviderError, match="device='cuda:2' is not available: torch finds 2 GPUs, counted from cuda:0"):
        choose_device("cuda:2")


def test_each_of_several_processes_has_a_gpu_of_its_own(two_gpus, monkeypatch):
    processes(monkeypatch, 1, 2)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 1)
    with pytest.raises(ParameterError, match="device='cuda:1' is one GPU, and each of several processes has its own"):
        choose_device("cuda:1")
    processes(monkeypatch, 1, 3)
    with pytest.raises(ProviderError, match="3 processes on this machine need a GPU each, and torch finds 2"):
        choose_device("cuda")


def test_several_processes_do_not_share_an_apples_gpu(apple, monkeypatch):
    processes(monkeypatch, 0, 2)
    assert choose_device("auto") == CPU
    with pytest.raises(ParameterError, match="device='mps' is one GPU, which several processes cannot share"):
        choose_device("mps")


def test_random_numbers_go_on_from_a_state():
    states = random_states(CPU)
    drawn = torch.rand(3)
    with kept_random(CPU):
        set_random_states(CPU, states)
        assert torch.equal(torch.rand(3), drawn)
        inside = torch.rand(1)
    assert torch.equal(torch.rand(1), inside)
