"""Every registered learner with settings for little training, importable by its bare name in any process."""

import onnx
import torch
from torch import nn as torch_nn

from onnxlearn.graph.metadata import embed
from onnxlearn.model import Model
from onnxlearn.networks import ingress, nn
from onnxlearn.registry import learner, learner_infos
from onnxlearn_models.featureless import Featureless
from onnxlearn_models.layers.embedding import CodeEmbedding
from onnxlearn_models.mlp import MLP

N_PIXELS = 24


class Own(torch_nn.Module):
    """What a user may bring: a network of numbers, categories, images, or all of them."""

    def __init__(self, n_num, cardinalities, columns, n_outputs, width=8):
        super().__init__()
        self.embedding = CodeEmbedding(cardinalities, [4] * len(cardinalities))
        self.images = [column.name for column in columns]
        self.layers = torch_nn.Sequential(
            torch_nn.Linear(n_num + 4 * len(cardinalities) + N_PIXELS * len(columns), width),
            torch_nn.Tanh(),
            torch_nn.Linear(width, n_outputs),
        )

    def forward(self, num=None, cat=None, columns=None):
        parts = ([] if num is None else [num]) + ([] if cat is None else [self.embedding(cat)])
        parts += [columns[name].flatten(1)[:, :N_PIXELS] for name in self.images]
        return self.layers(torch.cat(parts, dim=1))


class OnlyClasses(MLP):
    """A learner that does classification alone."""

    name = "only_classes"
    tasks = ("classification",)


class HashSeeded(Featureless):
    """Medians with a note that changes with the hashes of texts: with every process."""

    def fit(self, task, **options):
        model = super().fit(task, **options)
        if self.values["center"] == "mean":
            return model
        document = {**model.metadata, "notes": [f"{hash('text')}"]}
        return Model(embed(onnx.load_from_string(model.to_bytes()), document))


GRAPH = (
    [
        ingress.num(optional=True),
        ingress.cat(optional=True) >> nn.embedding(4),
        ingress.text(optional=True) >> nn.embedding_bag(4),
        ingress.image(optional=True) >> nn.flatten() >> nn.linear(4),
    ]
    >> nn.merge_cat()
    >> nn.block(nn.linear(8) >> nn.relu() >> nn.dropout(0.1), n_blocks=2)
    >> nn.head()
)

# Contracts hold whatever the quality: little training is enough.
QUICK = {"max_epochs": 2, "n_blocks": 2, "d_block": 16, "device": "cpu"}
SMALL = {"n_blocks": 1, "d_block": 8}
SMALL_IMAGES = {"image_height": 8, "image_width": 8}
SMALL_TEXTS = {"text_length": 12, "text_max_words": 20}
QUICK_OF = {
    "bagging": {"n_folds": 2},
    "ensemble": {"members": [learner("mlp", norm="batch", **SMALL), learner("realmlp", seed=1), "linear"]},
    # First steps are equally large for all weights, and may give levels the same ones.
    "linear": {"max_epochs": 8},
    "module": {"module": Own, **SMALL_IMAGES},
    "graph": {"graph": GRAPH, **SMALL_IMAGES, **SMALL_TEXTS},
    "cnn": {"width": 4, "n_convs": 1, **SMALL_IMAGES},
    "resnet": {"width": 4, "n_blocks": 1, **SMALL_IMAGES},
    "backbone": {"backbone": "resnet20", **SMALL_IMAGES},
    "multimodal": {"width": 4, "n_convs": 1, "n_blocks": 1, **SMALL_IMAGES, **SMALL_TEXTS},
}
QUICK_OF["auto"] = {
    "learners": [learner("graph", max_epochs=2, device="cpu", seed=seed, **QUICK_OF["graph"]) for seed in (0, 1)],
    "budget": 2, "n_folds": 2, "n_jobs": 1,
}  # fmt: skip
TABLE_LEARNERS = sorted(name for name, info in learner_infos().items() if info.needs_kind is None)
"""Those that fit tables without images."""


def quick(name, **settings):
    """The learner ``name``, quickly trained."""
    known = {param.name for param in learner(name).params}
    return learner(name, **{key: value for key, value in QUICK.items() if key in known} | QUICK_OF.get(name, {}) | settings)
