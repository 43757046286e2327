"""Compiled training steps."""

import numpy as np
import pytest
import torch

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_models.training.compiled import compiled

CPU = torch.device("cpu")
SMALL = {"max_epochs": 3, "device": "cpu", "d_block": 16, "batch_size": 32, "dropout": 0.3}


def test_what_changes_in_each_step_is_not_compiled():
    task = example_tasks(60)["classes"]
    with pytest.raises(ParameterError, match="compile=True compiles dropout as it is, and dropout_schedule='fade' changes it"):
        ol.learner("mlp", **SMALL, compile=True, dropout_schedule="fade").fit(task, progress=False)
    with pytest.raises(ParameterError, match="compile=True is not for ghost batch norm, which weighs each step differently"):
        ol.learner("tabnet", max_epochs=1, device="cpu", compile=True).fit(task, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"precision": "bf16"}, {"norm": "batch"}])
def test_a_compiled_training_is_the_plain_one_but_for_rounding(settings):
    task = example_tasks(60)["classes"]
    models = [ol.learner("mlp", **SMALL, **settings, compile=choice).fit(task, progress=False) for choice in (False, True)]
    losses = [model.metadata["training"]["history"]["train_loss"] for model in models]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-2 if settings.get("precision") else 1e-5)
    assert models[0].metadata["learner"] == models[1].metadata["learner"]


@pytest.mark.slow
def test_without_a_compiler_it_says_what_to_install(monkeypatch):
    from torch._inductor import cpp_builder

    monkeypatch.setenv("PATH", "")
    cpp_builder.cpp_compiler_search.cache_clear()
    with pytest.raises(ParameterError, match=r"compile=True needs a C\+\+ compiler, and torch finds none: install g\+\+"):
        compiled(torch.nn.Linear(2, 2), CPU)


@pytest.mark.slow
def test_what_torch_cannot_compile_is_told():
    class Loud(torch.nn.Module):
        def forward(self, num):
            torch._dynamo.graph_break()
            return torch.ops.onnxlearn.dropout_mask(num, "no number")

    with pytest.raises(ParameterError, match="compile=True: torch cannot compile this network"):
        compiled(Loud(), CPU)(num=torch.zeros(2, 2))
