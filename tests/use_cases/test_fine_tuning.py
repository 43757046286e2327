"""The second use case of the paper: fine-tuning. The page is run word for word."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from onnxlearn_models.training.callback import Callback

PAGE = Path(__file__).parents[2] / "docs" / "use-cases" / "fine-tuning.md"
FIRST_TRAINED = 13


class Watching(Callback):
    """Keeps the state of the backbone at the end of each epoch."""

    recorded = False

    def begin(self, ctx):
        self.states = [state(ctx)]

    def epoch_end(self, ctx):
        self.states.append(state(ctx))


def state(ctx):
    return {name: tensor.clone() for name, tensor in ctx.module.images.state_dict().items()}


def examples():
    """The page's code, block by block."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_fine_tuning_a_network_that_was_trained_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, *others = examples()
    names = {}
    exec(first, names)
    names["learner"] = names["learner"].replace(callbacks=(Watching(),))
    for block in others:
        exec(block, names)
    model, again, rest = names["model"], names["again"], names["rest"]
    before, *states = model.callbacks[0].states
    # Weights and statistics of norms keep every bit; then all weights move.
    assert all(torch.equal(before[name], each[name]) for each in states[: FIRST_TRAINED - 1] for name in before)
    weights = [name for name in before if name.endswith(("weight", "bias"))]
    assert not any(torch.equal(before[name], states[-1][name]) for name in weights)
    accuracies = model.metadata["training"]["history"]["valid_acc"]
    shown = re.findall(r"^\d+ (0\.\d\d) ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    np.testing.assert_allclose(accuracies, np.array(shown, float), atol=0.05)
    head_alone, whole = accuracies[: FIRST_TRAINED - 1], accuracies[FIRST_TRAINED - 1 :]
    # The head had come as far as it comes.
    assert max(head_alone) < head_alone[4] + 0.03
    assert max(whole) > max(head_alone) + 0.04
    assert again.score(rest, "acc") > max(head_alone) + 0.02
    np.testing.assert_array_equal(again.predict(rest).prob, model.predict(rest).prob)
    assert again.verify().ok


def test_the_page_names_settings_that_there_are():
    names = {}
    exec(examples()[0], names)
    assert names["task"].n_rows == 1000
    assert names["learner"].values["unfreeze"] == {"images.*": FIRST_TRAINED}
