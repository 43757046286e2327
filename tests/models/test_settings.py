"""Settings that come with a choice, as parameters of learners; rates of single parameters."""

import pickle

import pytest
import torch
from torch import nn

import onnxlearn as ol
from onnxlearn.errors import DesignError, ParameterError
from onnxlearn.testing import example_tasks
from onnxlearn_cli.fit import configure
from onnxlearn_cli.resample import configure_all
from onnxlearn_models.training import losses, optimizers, schedules
from onnxlearn_models.training.config import TrainConfig, make_train_config, train_config_type
from onnxlearn_models.training.groups import parameter_groups, regrouped
from onnxlearn_models.training.schedule import make_schedule

QUICK = {"d_block": 8, "n_blocks": 1, "max_epochs": 2, "device": "cpu"}


def settings_of(learner):
    return {name: value for name, value in learner.values.items() if name.startswith(("opt_", "loss_", "schedule_"))}


def test_a_choice_brings_its_settings():
    given = {"opt_momentum": 0.8, "opt_nesterov": False, "loss_gamma": 1.5, "schedule_size": 3}
    learner = ol.learner("mlp", optimizer="sgd", loss="focal", schedule="step", **given)
    assert settings_of(learner) == {**given, "opt_dampening": 0.0, "schedule_gamma": 0.1}
    names = [param.name for param in learner.params]
    assert names[names.index("optimizer") :][:4] == ["optimizer", "opt_momentum", "opt_dampening", "opt_nesterov"]
    assert names[names.index("loss") :][:2] == ["loss", "loss_gamma"]
    assert set(names) == set(learner.values)
    assert settings_of(ol.learner("mlp")).keys() == {"opt_beta1", "opt_beta2", "opt_eps", "opt_amsgrad", "schedule_floor"}


def test_each_choice_tells_what_it_brings():
    brings = {param.name: param.brings for param in ol.learner("mlp").params if param.brings}
    assert brings.keys() == {"optimizer", "loss", "schedule"}
    assert brings["optimizer"]["sgd"] == ("opt_momentum", "opt_dampening", "opt_nesterov")
    assert "mse" not in brings["loss"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opt_momentum": 0.8}, "no parameter 'opt_momentum': it is a setting of optimizer='sgd', .*; here optimizer='adamw'"),
        ({"optimizer": "sgd", "opt_beta1": 0.8}, "no parameter 'opt_beta1': it is a setting of .*; here optimizer='sgd'"),
        ({"loss_gamma": 1.0}, "it is a setting of loss='focal'; here loss=None"),
        ({"optimizer": "sgd", "opt_momentum": 2.0}, "opt_momentum has to be float >= 0, <= 0.9999, not 2.0 .decay of the mean"),
        ({"optimizer": "sgdd"}, "learner 'mlp': optimizer has to be adam | adamw .*, not 'sgdd'"),
        ({"opt_beta3": 0.8}, "has no parameter 'opt_beta3'. Did you mean 'opt_beta"),
        ({"schedule": 3}, "learner 'mlp': schedule has to be .*, not 3"),
    ],
)
def test_settings_of_another_choice_are_refused(options, message):
    with pytest.raises(ParameterError, match=message):
        ol.learner("mlp", **options)


def test_learners_with_settings_are_copied_compared_and_packed():
    learner = ol.learner("mlp", optimizer="sgd", opt_momentum=0.8, loss="huber", loss_delta=0.5)
    same = pickle.loads(pickle.dumps(learner))
    assert same == learner
    assert hash(same) == hash(learner)
    assert learner.replace(opt_momentum=0.7).values["opt_momentum"] == 0.7
    assert learner.replace(opt_momentum=0.7) != learner
    assert learner.to_dict()["params"]["loss_delta"] == 0.5
    assert type(learner.configs[2]) is type(same.configs[2]) is train_config_type({"optimizer": "sgd", "loss": "huber"})
    assert isinstance(learner.configs[2], TrainConfig)
    with pytest.raises(ParameterError, match="it is a setting of optimizer='sgd'"):
        learner.replace(optimizer="adam")


def test_a_default_of_a_learner_that_another_choice_lacks_is_dropped():
    assert ol.learner("realmlp").values["opt_beta2"] == 0.95
    assert ol.learner("realmlp", optimizer="nadam").values["opt_beta2"] == 0.95
    assert "opt_beta2" not in ol.learner("realmlp", optimizer="sgd").values
    assert ol.learner("shaped_mlp").values["opt_momentum"] == 0.9
    assert settings_of(ol.learner("shaped_mlp", optimizer="adadelta")).keys() >= {"opt_rho", "opt_eps"}


def test_bagging_and_ensembles_pass_settings_on():
    bagging = ol.learner("bagging", base="realmlp", optimizer="sgd", opt_momentum=0.5)
    assert {member.values["opt_momentum"] for member in bagging.fold_learners()} == {0.5}
    assert pickle.loads(pickle.dumps(bagging)) == bagging
    base = ol.learner("mlp", optimizer="sgd", opt_momentum=0.5)
    assert ol.learner("bagging", base=base).values["opt_momentum"] == 0.5
    ensemble = ol.learner("ensemble", members=[base, "realmlp"])
    assert [member.values.get("opt_momentum") for member in ensemble.members()] == [0.5, None]
    bagging = ol.learner("bagging", base="mlp", n_folds=2, loss="focal", loss_gamma=1.0, **QUICK)
    model = bagging.fit(example_tasks(80)["two"], progress=False)
    assert {member["params"]["loss_gamma"] for member in model.metadata["training"]["members"]} == {1.0}


def test_the_command_line_and_designs_know_settings(tmp_path):
    learner = configure(ol.learner("mlp"), {"opt_momentum": "0.5", "optimizer": "sgd", "opt_nesterov": "false"}, None)
    assert (learner.values["opt_momentum"], learner.values["opt_nesterov"]) == (0.5, False)
    both = configure_all(["mlp", "realmlp"], {"optimizer": "sgd", "opt_momentum": "0.5", "realmlp.opt_dampening": "0.1"}, None)
    assert [each.values["opt_momentum"] for each in both.values()] == [0.5, 0.5]
    assert both["realmlp"].values["opt_dampening"] == 0.1
    design = tmp_path / "design.toml"
    rest = '[tasks.p]\ndata = "example:penguins"\ntarget = "species"\n[resamplings.cv]\nfolds = 2\n[learners.mlp]\n'
    design.write_text(f'{rest}optimizer = "sgd"\n[learners.mlp.grid]\nopt_momentum = [0.5, 0.9]\n', encoding="utf-8")
    assert {cell.learner.values["opt_momentum"] for cell in ol.read_design(design).cells} == {0.5, 0.9}
    design.write_text(f"{rest}opt_momentum = 0.5\n", encoding="utf-8")
    with pytest.raises(DesignError, match=r"7: learners.mlp.opt_momentum: .* it is a setting of optimizer='sgd'"):
        ol.read_design(design)


def test_code_may_be_named_on_the_command_line():
    learner = configure(ol.learner("mlp"), {"optimizer": "torch.optim:Adamax", "loss": "torch.nn.functional:huber_loss"}, None)
    assert learner.values["optimizer"] is torch.optim.Adamax
    assert learner.to_dict()["params"]["optimizer"] == "torch.optim.adamax:Adamax"


OTHER = {
    "cosine": {"floor": 0.2},
    "flat_cosine": {"flat": 0.8, "floor": 0.2},
    "cosine_restarts": {"size": 3, "growth": 2, "floor": 0.2},
    "linear": {"start": 0.5, "end": 0.5},
    "polynomial": {"power": 2.0},
    "exponential": {"gamma": 0.5},
    "step": {"size": 3, "gamma": 0.5},
    "multi_step": {"milestones": (2,), "gamma": 0.5},
    "lambda": {"function": lambda epoch: 0.5},
    "multiplicative": {"function": lambda epoch: 0.6},
    "one_cycle": {
        "rise": 0.5, "anneal": "linear", "div_factor": 9.0, "final_div_factor": 9.0, "cycle_momentum": False,
        "base_momentum": 0.5, "max_momentum": 0.9,
    },
    "plateau": {"gamma": 0.5, "patience": 2, "threshold": 0.5, "cooldown": 2, "floor": 0.5},
}  # fmt: skip
# What can be seen only beside another setting.
BESIDE = {("cosine_restarts", "growth"): {"size": 2}, ("plateau", "cooldown"): {"patience": 0}}
NEEDED = {"lambda": {"function": lambda epoch: 0.7}, "multiplicative": {"function": lambda epoch: 0.7}}


def course(choice, settings):
    config = make_train_config(schedule=choice, warmup=0.0, **{f"schedule_{name}": value for name, value in settings.items()})
    schedule, found = make_schedule(config, 12, 4), []
    for step in range(1, 49):
        found.append((schedule.factor(step), schedule.momentum(step)))
        if step % 4 == 0:
            # At first better by little, then not.
            schedule.after_epoch(max(0.99, 1 - 1e-3 * step))
    return found


def test_every_setting_of_a_schedule_changes_its_course():
    """Those of optimizers and losses are told apart by their comparisons with torch."""
    fields = {name: {field for field, _, _ in schedules.fields(entry)} for name, entry in schedules.items()}
    assert fields == {name: {f"schedule_{setting}" for setting in OTHER.get(name, {})} for name in schedules}
    for choice, settings in OTHER.items():
        for name, value in settings.items():
            base = NEEDED.get(choice, {}) | BESIDE.get((choice, name), {})
            assert course(choice, base) != course(choice, {**base, name: value}), (choice, name)


# Rates of single parameters.


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))


def rates(groups, module):
    names = {id(p): name for name, p in module.named_parameters()}
    return {names[id(p)]: (group.lr_factor, group.weight_decay) for group in groups for p in group.parameters}


def test_patterns_set_factors_and_decays():
    module = net()
    groups = parameter_groups(module, TrainConfig(weight_decay=0.1))
    found = rates(regrouped(groups, module, {"*": {"lr": 0.5}, "1.*": {"weight_decay": 0.3}, "1.bias": {"lr": 0.0}}), module)
    assert found == {"0.weight": (0.5, 0.1), "0.bias": (0.5, 0.0), "1.weight": (0.5, 0.3), "1.bias": (0.0, 0.3)}
    found = rates(regrouped(groups, module, lambda name, p: {"lr": 0.1} if p.ndim == 1 else None), module)
    assert found == {"0.weight": (1.0, 0.1), "0.bias": (0.1, 0.0), "1.weight": (1.0, 0.1), "1.bias": (0.1, 0.0)}


def own_network(n_num, n_outputs):
    return nn.Sequential(nn.Linear(n_num, 4), nn.ReLU(), nn.Linear(4, n_outputs))


class Own(nn.Module):
    def __init__(self, n_num, n_outputs):
        super().__init__()
        self.body = own_network(n_num, n_outputs)

    def forward(self, num):
        return self.body(num)


def test_a_factor_of_0_keeps_weights_as_they_were():
    task = example_tasks(60)["two"]
    recipe = ol.learner(Own, max_epochs=3, lr=0.1, ema=0, device="cpu", param_groups={"body.0.*": {"lr": 0}})
    before = dict(recipe.prepare(task).module.named_parameters())
    trained = dict(recipe.train(task, None, progress=False).module.named_parameters())
    moved = {name: bool((trained[name] != before[name]).any()) for name in before}
    assert moved == {
        "network.body.0.weight": False,
        "network.body.0.bias": False,
        "network.body.2.weight": True,
        "network.body.2.bias": True,
    }
    params = recipe.fit(task, progress=False).metadata["learner"]["params"]
    assert params["param_groups"] == {"body.0.*": {"lr": 0}}


def test_a_recipe_does_not_change_with_what_it_was_given():
    given = {"head.*": {"lr": 0.5}}
    learner = ol.learner("mlp", param_groups=given)
    given["head.*"]["lr"] = 7
    assert learner.values["param_groups"] == {"head.*": {"lr": 0.5}}


@pytest.mark.parametrize(
    ("param_groups", "message"),
    [
        (
            {"heads.*": {"lr": 0.1}},
            r"param_groups has 'heads.\*', which is the name of no parameter; there are .*'head.weight'",
        ),
        (
            {"head.*": {"rate": 0.1}},
            r"param_groups of 'head.\*' has to be a mapping with 'lr', a factor, 'weight_decay' or both",
        ),
        ({"head.*": 0.1}, "has to be a mapping"),
        ({"head.*": {"lr": -1}}, "lr has to be a number >= 0, not -1"),
        (lambda name, p: 3, "has to be a mapping"),
    ],
)
def test_rates_that_mean_nothing_are_refused_before_training(param_groups, message):
    with pytest.raises(ParameterError, match=message):
        ol.learner("mlp", param_groups=param_groups, **QUICK).prepare(example_tasks(60)["two"])


def test_networks_of_ones_own_have_no_arguments_called_as_settings():
    def network(n_num, n_outputs, opt_width=3):
        return own_network(n_num, n_outputs)

    with pytest.raises(
        ParameterError, match="has the argument 'opt_width', and names that begin so are settings of the training"
    ):
        ol.learner(network)


def test_every_choice_has_a_word_for_people():
    for registry in (optimizers, losses, schedules):
        assert all(entry.make.__doc__ for entry in registry.values())
        for entry in registry.values():
            assert all(not field.metadata["meaning"].startswith("argument of") for _, _, field in registry.fields(entry))
