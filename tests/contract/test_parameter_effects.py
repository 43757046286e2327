"""Every parameter that a learner accepts changes something: registering a learner is what tests it."""

import math
from pathlib import Path

import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import onnxlearn as ol
from onnxlearn.images.extractor import Extractor
from onnxlearn.registry import learner, learner_infos
from onnxlearn.testing import check_effects
from onnxlearn.text.vectors import VectorFile
from onnxlearn_models.arguments import state_digest
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.network_learner import NetworkLearner
from onnxlearn_models.shipping import Rows, summary
from onnxlearn_models.training.callback import Callback
from onnxlearn_models.training.config import CHOICES
from onnxlearn_models.training.start import StartWeights
from onnxlearn_models.vision.resnet import ResNetEncoder
from onnxlearn_models.vision.sources import RESNETS


def pixels(columns):
    """What enters of the images."""
    return [image.flatten(1) for image in (columns or {}).values()]


class Own(nn.Module):
    """What a user may bring."""

    def __init__(self, n_num, cardinalities, columns, n_outputs, width=4):
        super().__init__()
        self.embedding = CodeEmbedding(cardinalities, [2] * len(cardinalities))
        d_images = sum(math.prod(column.shape) for column in columns)
        parts = [nn.Linear(n_num + 2 * len(cardinalities) + d_images, width), nn.Tanh(), nn.Dropout(0.5), nn.BatchNorm1d(width)]
        self.layers = nn.Sequential(*parts, nn.Linear(width, n_outputs))

    def forward(self, num, cat, columns):
        return self.layers(torch.cat([num, self.embedding(cat), *pixels(columns)], dim=1))


class Other(Own):
    """The same with another activation."""

    def __init__(self, n_num, cardinalities, columns, n_outputs):
        super().__init__(n_num, cardinalities, columns, n_outputs)
        self.layers[1] = nn.ReLU()


class Numbers(Own):
    """One that asks for no codes."""

    def __init__(self, n_num, columns, n_outputs):
        super().__init__(n_num, (), columns, n_outputs)

    def forward(self, num, columns):
        return self.layers(torch.cat([num, *pixels(columns)], dim=1))


def half(epoch):
    return 0.5**epoch


class Halved(Callback):
    """Makes every gradient half as large and adds a little, which Adam notices."""

    def after_backward(self, ctx):
        ctx.optimizer.flat.grads.mul_(0.5).add_(0.01)


# With all that a training has settings for.
GRAPH = (
    [
        ol.ingress.num(optional=True),
        ol.ingress.cat(optional=True) >> ol.nn.embedding(4),
        ol.ingress.image(optional=True) >> ol.nn.flatten() >> ol.nn.linear(3, id="pixels"),
        ol.ingress.text(optional=True) >> ol.nn.embedding_bag(),
    ]
    >> ol.nn.merge_cat()
    >> ol.nn.block(ol.nn.linear(8) >> ol.nn.batch_norm1d() >> ol.nn.relu() >> ol.nn.dropout(0.1), n_blocks=2)
    >> ol.nn.head()
)


def narrow(i):
    return {"linear__d_out": 3 + i}


class BesideItsOwn(StartWeights):
    """Weights for any network: somewhat larger ones than it has."""

    def fitting(self, module):
        words = {name: buffer for name, buffer in module.named_buffers() if name.endswith(".words")}
        return words | {name: parameter.detach() + 0.25 for name, parameter in module.named_parameters()}


# Networks and trainings of the smallest kind. Parts of dates take long to export.
SMALL = {
    "max_epochs": 2, "batch_size": 24, "device": "cpu", "datetime_parts": ("elapsed",), "n_blocks": 1, "d_block": 4, "n_max": 8,
    "n_layers": 3, "layer_units": (4,), "attention_n_heads": 2, "n_members": 2, "n_steps": 1, "n_d": 2, "n_a": 2, "n_folds": 2,
    "image_height": 8, "image_width": 8, "text_length": 12, "text_max_words": 20, "backbone": "resnet20",
    "module": Own, "members": [learner("linear"), learner("entity_mlp", layer_units=(4,))],
}  # fmt: skip
_FEW = {name: SMALL[name] for name in ("max_epochs", "device", "image_height", "image_width", "text_length", "text_max_words")}
SETTINGS = {
    "bagging": {"base": "linear"}, "graph": {"graph": GRAPH}, "cnn": {"width": 4, "n_convs": 1}, "resnet": {"width": 4},
}  # fmt: skip
SETTINGS["auto"] = {
    "learners": [learner("graph", graph=GRAPH, seed=seed, **_FEW) for seed in (0, 5)],
    "budget": 3, "n_jobs": 1, "space": "small",
}  # fmt: skip
# What has one value alone for these rows.
WITHOUT = {"compile", "image__column", "flatten__start", "flatten__end", "text__column"}
# The graph looks words up, and cannot where they come as numbers.
OF_NUMBERS = {"text_form", "text_sublinear"}
# What choices ask for, and values of theirs that have no default.
GO_WITH = {
    "lbfgs": {"max_epochs": 1},
    "schedule_free": {"schedule": "constant", "ema": 0.0, "warmup": 0.5},
    "cosine_restarts": {"schedule_size": 1},
    "step": {"schedule_size": 1},
    "plateau": {"schedule_patience": 0, "max_epochs": 12, "lr": 1.0},
    "lambda": {"schedule_function": half},
    "multiplicative": {"schedule_function": half},
}
OTHERS = {
    "measure": ["acc", "mae", "r2"],
    "schedule_function": [abs],
    "schedule_milestones": [(1,)],
    "module": [Other],
    "graph": [
        [
            ol.ingress.num(optional=True),
            ol.ingress.image(optional=True) >> ol.nn.flatten(),
            ol.ingress.text(optional=True) >> ol.nn.embedding_bag(2),
        ]
        >> ol.nn.merge_cat()
        >> ol.nn.head()
    ],
    "block__tweak": [narrow],
    "base": ["entity_mlp"],
    "callbacks": [(Halved(),)],
    "start_from": [BesideItsOwn({}, "the network")],
    "backbone": ["resnet56"],
    "image_encoder": ["resnet20"],
    "weights": [StartWeights(ResNetEncoder(3, RESNETS["resnet20"]).state_dict(), "a network")],
    "n_blocks": [2, (1, 2, 1)],
    "text_vectors": [VectorFile.of(Path(__file__).with_name("word_vectors.txt"))],
}


# A network of one's own that asks for codes refuses other encodings.
WITHOUT_CODES = ({"module": Numbers},)
BESIDE = {
    "max_members": [{"learners": [learner("graph", graph=GRAPH, seed=i, **{**_FEW, "max_epochs": 20}) for i in range(3)]}],
    "weights": [{"image_encoder": "resnet20"}, {"backbone": "resnet20"}],
    **dict.fromkeys(("cat_smoothing", "cat_folds", "cat_buckets"), WITHOUT_CODES),
}


def extractor():
    """A frozen network with two outputs."""
    nodes = [helper.make_node("Abs", ["pixels"], ["one"]), helper.make_node("Neg", ["one"], ["other"])]
    outputs = [helper.make_empty_tensor_value_info(name) for name in ("one", "other")]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", "c", "h", "w"])
    graph = helper.make_graph(nodes, "extractor", [pixels], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return Extractor(model.SerializeToString(), "a network")


OTHERS |= {"image_extractor": [extractor()], "image_extractor_output": ["other"]}
BESIDE |= {"image_extractor_output": [{"image_extractor": extractor()}]}


GRAPH_SETTINGS = {param.name for param in learner("graph").params}


def small(name):
    settings = SETTINGS.get(name, {})
    known = {param.name for param in learner(name, **settings).params}
    return learner(name, **{**{key: value for key, value in SMALL.items() if key in known}, **settings})


def trained(learner, task):
    """The weights of a fit and how training went: exporting takes as long again."""
    config, outputs = learner.configs[2:4]
    rows = Rows.of(task, config.validation, outputs, config.seed)
    network = learner.train(rows.train, rows.valid, progress=False)
    history = summary(network.result)["history"]
    return f"{state_digest(network.module)} {sorted((key, value) for key, value in history.items() if key != 'lr')}"


@pytest.mark.parametrize("name", sorted(learner_infos()))
def test_every_parameter_has_an_effect_where_it_says_that_it_counts(name):
    chosen = small(name)
    names = {param.name for param in chosen.params} - WITHOUT - (OF_NUMBERS if name == "graph" else set())
    glance = trained if isinstance(chosen, NetworkLearner) else None
    check_effects(chosen, others=OTHERS, beside=BESIDE, names=names, glance=glance)


def as_numbers(x):
    return x.float()


def test_texts_enter_a_graph_in_each_of_their_forms():
    words = ol.ingress.text() >> ol.nn.fn(as_numbers) >> ol.nn.linear(3, id="words")
    rest = [ol.ingress.num(), ol.ingress.image() >> ol.nn.flatten()]
    graph = [*rest, words] >> ol.nn.merge_cat() >> ol.nn.head()
    chosen = learner("graph", graph=graph, **{key: value for key, value in SMALL.items() if key in GRAPH_SETTINGS})
    check_effects(chosen, names=OF_NUMBERS, glance=trained)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["entity_mlp", "tab_resnet"])
def test_a_compiled_training_gives_the_same_result(name):
    check_effects(small(name), others=OTHERS, names={"compile"})


BROUGHT = [(parameter, choice) for parameter, registry in CHOICES.items() for choice in registry.settings()]


@pytest.mark.parametrize(("parameter", "choice"), BROUGHT)
def test_every_setting_of_a_choice_has_an_effect(parameter, choice):
    chosen = small("entity_mlp").replace(**{"max_epochs": 4, parameter: choice, **GO_WITH.get(choice, {})})
    check_effects(chosen, others=OTHERS, names=CHOICES[parameter].settings()[choice], glance=trained)
