"""Where parameters count, and the check that holds a learner to it."""

from dataclasses import dataclass

import pytest

import onnxlearn as ol
from onnxlearn.effects import GIVEN, above
from onnxlearn.errors import ParameterError
from onnxlearn.learner import Learner
from onnxlearn.params import build_configs, list_params, param
from onnxlearn.testing import check_effects, check_params
from onnxlearn_models.featureless import Featureless, FeaturelessConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    norm: str = param("none", "norm", choices={"none": 0, "batch": 1, "layer": 2})
    momentum: float | None = param(0.1, "of batch norm", when={"norm": "batch"})
    share: float = param(0.2, "kept", low=0, when=({"norm": ["batch", "layer"]}, {"rows": GIVEN}), on="regression")
    rows: int | None = param(None, "rows", low=1)
    power: float = param(1.0, "power", when={"share": above(0), "norm": "batch"})
    threads: int = param(1, "threads", low=1, inert="it says how to compute")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"momentum": 0.5}, r"it: momentum=0.5 changes nothing with norm='none': leave it out; it counts with norm=batch$"),
        ({"share": 0.5}, r"share=0.5 changes nothing with norm='none': .* with norm=batch or layer; or rows given$"),
        ({"power": 2, "share": 0, "norm": "batch"}, r"power=2.0 changes nothing with share=0.0: .* share > 0, norm=batch$"),
        ({"power": 2, "norm": "layer"}, r"power=2.0 changes nothing with norm='layer': leave it out"),
    ],
)
def test_what_counts_for_nothing_is_refused(values, message):
    with pytest.raises(ParameterError, match=message):
        build_configs([Config], values, owner="it")


@pytest.mark.parametrize(
    "values",
    [
        {"momentum": 0.5, "norm": "batch"},
        {"share": 0.5, "norm": "layer"},
        {"share": 0.5, "rows": 3},
        # What stands there anyway, and what asks for nothing.
        {"momentum": 0.1},
        {"momentum": None},
    ],
)
def test_what_counts_or_asks_for_nothing_is_taken(values):
    (config,) = build_configs([Config], values, owner="it")
    assert {name: getattr(config, name) for name in values} == values


def test_defaults_of_a_learner_may_stand_where_they_do_not_count():
    usual = {"norm": "batch", "momentum": 0.5}
    assert build_configs([Config], {"norm": "none"}, owner="it", defaults=usual)[0].momentum == 0.5
    assert build_configs([Config], {"norm": "none", "momentum": 0.5}, owner="it", defaults=usual)[0].momentum == 0.5
    with pytest.raises(ParameterError, match=r"momentum=0.1 changes nothing with norm='none'"):
        build_configs([Config], {"norm": "none", "momentum": 0.1}, owner="it", defaults=usual)


def test_contexts_are_told():
    assert {param.name: param.context for param in list_params([Config])} == {
        "norm": "",
        "momentum": "with norm=batch",
        "share": "with norm=batch or layer; or rows given; for regression",
        "rows": "",
        "power": "with share > 0, norm=batch",
        "threads": "changes no result: it says how to compute",
    }


class Baseline(Featureless):
    """A learner that adds to its prediction what its parameters say."""

    def _center(self, task, weights):
        graph = super()._center(task, weights)
        for tensor in graph.graph.initializer:
            if tensor.dims == [1] and tensor.data_type == 11:  # DOUBLE
                import onnx

                moved = onnx.numpy_helper.to_array(tensor) + self.moved()
                tensor.CopyFrom(onnx.numpy_helper.from_array(moved, tensor.name))
        return graph

    def moved(self):
        return 0.0


@dataclass(frozen=True, kw_only=True)
class BaselineConfig(FeaturelessConfig):
    """A parameter of each kind."""

    shift: float = param(1.0, "added to the prediction", on="regression", when={"center": "median"})
    idle: int = param(3, "does nothing", on="regression")
    device: str = param("here", "where", choices={"here": 0, "there": 1}, inert="it says where")
    never: float = param(1.0, "never counts", when={"shift": above(1e9)})
    stuck: str = param("only", "has one value", choices={"only": 0})


class Honest(Baseline):
    """Counts what it says."""

    name = "honest"
    config_types = (BaselineConfig,)
    without = dict.fromkeys(("idle", "never", "stuck"), "it is not for this learner")

    def moved(self):
        return self.values["shift"] if self.values["center"] == "median" else 0.0


class Dishonest(Honest):
    """Says that parameters count that do not, and the other way round."""

    name = "dishonest"
    without = dict.fromkeys((), "")

    def moved(self):
        return super().moved() + (self.values["device"] == "there")


def test_a_learner_that_counts_what_it_says_passes():
    check_effects(Honest())
    check_params(Honest())


def test_every_fault_is_named():
    with pytest.raises(AssertionError) as caught:
        check_effects(Dishonest(), others={"device": ["there"]}, beside={"device": [{"center": "median"}]})
    told = str(caught.value)
    assert told.startswith("learner 'dishonest': idle changes nothing, tried as [6, 1, 4, 0, 2] for regression; ")
    assert "no settings were found beside which never counts (with shift > 1e+09)" in told
    assert "no other value of stuck is accepted: are there" in told


def test_an_inert_parameter_with_an_effect_is_found():
    learner = Dishonest()
    learner.tasks = ("regression",)
    with pytest.raises(AssertionError, match=r"device='there' changes the fit, and it says that it changes no result: it says"):
        check_effects(learner)


def test_what_a_learner_is_without_is_no_parameter():
    learner: Learner = Honest(shift=2.0, center="median")
    assert [param.name for param in learner.params] == ["shift", "device", "center"]
    assert learner.values == {"shift": 2.0, "device": "here", "center": "median"}
    assert learner.to_dict()["params"] == {"shift": 2.0, "center": "median"}
    with pytest.raises(ParameterError, match=r"^learner 'honest' has no parameter 'idle': it is not for this learner$"):
        Honest(idle=4)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("linear", {"dropout_schedule": "fade"}, "learner 'linear' has no parameter 'dropout_schedule': it has no dropout"),
        ("mlp", {"n_blocks": 0, "d_block": 8}, "d_block=8 changes nothing with n_blocks=0: leave it out"),
        ("mlp", {"validation": None, "patience": 3}, "patience=3 changes nothing with validation=None"),
        ("mlp", {"cat_encoding": "onehot", "embedding_lr": 0.1}, "embedding_lr=0.1 changes nothing with cat_encoding='onehot'"),
        (
            "mlp",
            {"weight_decay": 0, "weight_decay_schedule": "fade"},
            "changes nothing with weight_decay=0.0: .*; or embedding_weight_decay > 0",
        ),
        ("mlp", {"n_quantiles": 9}, "n_quantiles=9 changes nothing with num_scaler='robust': .* with num_scaler=quantile"),
        ("shaped_mlp", {"n_layers": 1, "shape": "brick"}, "shape='brick' changes nothing with n_layers=1"),
        ("shaped_resnet", {"n_layers": 2, "shake_drop": 0.1}, "shake_drop=0.1 changes nothing with n_layers=2"),
        ("tabm", {"n_members": 1, "share_batches": True}, "share_batches=True changes nothing with n_members=1"),
        ("tabnet", {"n_steps": 1, "gamma": 2}, "gamma=2.0 changes nothing with n_steps=1"),
        ("bagging", {"base": "linear", "n_quantiles": 9}, "n_quantiles=9 changes nothing with num_scaler='standard'"),
    ],
)
def test_settings_that_were_silent_are_refused(name, settings, message):
    with pytest.raises(ParameterError, match=message):
        ol.learner(name, **settings)
