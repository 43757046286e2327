"""One new line in a registry makes a choice of every learner that can use it."""

import pytest
import torch
from torch import Tensor, nn

from onnxlearn.errors import ParameterError, UnknownNameError
from onnxlearn.registry import learner, learner_infos
from onnxlearn.testing import example_tasks
from onnxlearn_models.layers.activation import ACTIVATIONS
from onnxlearn_models.layers.norm import NORMS
from onnxlearn_models.layers.numeric import NUM_EMBEDDINGS, NumEmbedding
from onnxlearn_models.lowering import lower
from onnxlearn_models.training import losses, optimizers, samplers, schedules
from onnxlearn_models.training.loss import LossInfo
from onnxlearn_models.training.optim.base import OptimizerInfo
from onnxlearn_models.training.schedule import ScheduleInfo

SMALL = {"max_epochs": 2, "d_block": 8, "n_members": 2, "n_max": 8, "layer_units": [8], "attention_n_heads": 2, "device": "cpu"}


class Cube(nn.Module):
    """An activation that no registry has."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x) ** 3


class Powers(NumEmbedding):
    """An embedding that no registry has."""

    def __init__(self, n_columns: int, d_embedding: int) -> None:
        super().__init__(n_columns, d_embedding)
        self.weight = nn.Parameter(torch.rand(n_columns, d_embedding))

    def forward(self, num: Tensor) -> Tensor:
        return torch.tanh(num.unsqueeze(-1) * self.weight) ** 2


LINES = {
    "activation": (ACTIVATIONS, Cube),
    "norm": (NORMS, lambda width: nn.GroupNorm(1, width)),
    "num_embedding": (NUM_EMBEDDINGS, lambda kinds, config: Powers(len(kinds), config.d_num_embedding or 3)),
    "loss": (losses, LossInfo(make=lambda logits, target: -(logits.log_softmax(1)[range(len(target)), target] ** 3))),
    "schedule": (schedules, ScheduleInfo(make=lambda progress: 1 - progress / 2)),
    "optimizer": (optimizers, OptimizerInfo(make=torch.optim.Adamax)),
}
NAMES = {"norm": ("norm", "attention_normalization", "ffn_normalization")}
# linear has nothing in between, tabnet is built on layers of its own. What a norm does, keeping the numbers in range, the
# scaling of every layer does in realmlp; in tabm it would undo the scalings by which members differ.
WITHOUT = {
    "activation": {"linear", "tabnet"},
    "norm": {"linear", "tabnet", "realmlp", "tabm", "tabm_mini", "multimodal"},
    "num_embedding": {"linear", "tabnet"},
}
OF_TABLES = {name for name, info in learner_infos().items() if info.needs_kind is None}
NETWORKS = sorted(OF_TABLES - {"auto", "bagging", "ensemble", "featureless", "graph", "module"})


@pytest.mark.parametrize("what", LINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_line_is_a_choice(name, what, monkeypatch):
    known = {param.name for param in learner(name).params}
    names = [parameter for parameter in NAMES.get(what, (what,)) if parameter in known]
    assert bool(names) == (name not in WITHOUT.get(what, set()))
    if not names:
        return
    registry, entry = LINES[what]
    monkeypatch.setitem(registry, "new", entry)
    # None of them needs torch's exporter.
    monkeypatch.setattr(lower, "_export", None)
    options = {key: value for key, value in SMALL.items() if key in known} | dict.fromkeys(names, "new")
    model = learner(name, **options).fit(example_tasks(60)["classes"], progress=False)
    assert model.metadata["parity"]["max_difference"] <= 2e-5
    assert all(model.metadata["learner"]["params"][parameter] == "new" for parameter in names)


@pytest.mark.parametrize(
    ("register", "message"),
    [
        (lambda: losses.register("new")(3), "what is registered is a function or a class, not 3"),
        (lambda: losses.register(3), r"the name comes first, as in register\('mine'\), not 3"),
        (lambda: losses.register("new", task="regresion")(nn.functional.l1_loss), "task='regresion' of a loss is none"),
        (lambda: losses.register("new", tsk="regression"), "fact about a choice of loss 'tsk'"),
        (lambda: samplers.register("new")(lambda: None), "takes 0 arguments that are not filled in by name"),
    ],
)
def test_what_cannot_be_a_choice_is_not_registered(register, message):
    with pytest.raises((ParameterError, UnknownNameError), match=message):
        register()
    assert "new" not in losses
    assert "new" not in samplers
