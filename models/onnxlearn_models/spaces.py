"""Ready search spaces of the learners here, each in three sizes; what papers searched stands at each.

A size has what the smaller ones have. Where a paper searches a value besides 0, the range begins near it.
"""

# Values of parameters stand without their names.
# ruff: noqa: FBT003

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from onnxlearn.networks.graph import Graph
from onnxlearn.tuning.ranges import SIZES, Choice, Domain, Range, Size

Space: TypeAlias = Mapping[str, Domain]

# Of every network: how it is trained, and how columns come in.
_WEIGHTS = Range(1e-6, 1e-1, log=True)
_TRAINING: Space = {"batch_size": Choice(None, 64, 128, 256, 512, 1024), "label_smoothing": Range(0.0, 0.2)}
_COLUMNS: Space = {
    "num_scaler": Choice("robust", "quantile", "standard"), "cat_encoding": Choice("auto", "onehot", "target"),
}  # fmt: skip
_AVERAGING: Space = {"ema": Choice(0.0, 0.9, 0.99, 0.999), "opt_beta2": Choice(0.95, 0.99, 0.999)}
_IMAGES: Space = {
    "augment_flip": Choice(0.0, 0.5), "augment_rotate": Range(0.0, 30.0), "augment_scale": Range(1.0, 1.5),
    "augment_brightness": Range(0.0, 0.4), "augment_erase": Range(0.0, 0.5),
}  # fmt: skip

SPACES: Mapping[str, tuple[Space, Space, Space]] = {
    # Gorishniy et al. (2021), table 15, of which depth and widths are these; embeddings: Gorishniy et al. (2022).
    "mlp": (
        {"lr": Range(1e-4, 3e-2, log=True), "dropout": Range(0.0, 0.5), "d_block": Range(64, 1024, log=True)},
        {
            "n_blocks": Range(1, 6),
            "weight_decay": _WEIGHTS,
            "num_embedding": Choice("none", "linear", "periodic", "piecewise_linear", "pbld"),
            "frequency_scale": Range(0.01, 10.0, log=True),
            "n_bins": Range(2, 128),
        },
        {
            **_TRAINING,
            **_COLUMNS,
            **_AVERAGING,
            "norm": Choice("none", "batch", "layer"),
            "activation": Choice("relu", "gelu", "silu", "mish", "selu"),
            "d_num_embedding": Range(4, 64, log=True),
        },
    ),
    "entity_mlp": (
        {"lr": Range(1e-4, 3e-2, log=True), "dropout": Range(0.0, 0.5)},
        {
            "layer_units": Choice((32, 32, 32), (64, 64), (128, 128), (256, 128, 64), (256, 256, 256)),
            "weight_decay": _WEIGHTS,
            "embedding_dropout": Range(0.0, 0.3),
            "activation": Choice("relu", "selu", "gelu"),
        },
        {**_TRAINING, **_AVERAGING, "num_norm": Choice(True, False), "d_embedding": Choice(None, 4, 8, 16, 32)},
    ),
    # TabArena's space (Erickson et al. 2025), as pytabkit has it; widths are ours, layers are of one width.
    "realmlp": (
        {"lr": Range(2e-2, 3e-1, log=True), "dropout": Range(0.0, 0.5), "frequency_scale": Range(1e-2, 50.0, log=True)},
        {
            "n_blocks": Range(2, 4),
            "d_block": Choice(256, 384, 512),
            "weight_decay": Range(1e-3, 5e-2, log=True),
            "label_smoothing": Range(5e-3, 0.1, log=True),
            "num_embedding_lr": Range(5e-2, 0.3, log=True),
            "scale_lr": Range(2.0, 10.0, log=True),
            "max_onehot": Range(4, 33, log=True),
        },
        {
            "opt_beta2": Choice(0.95, 0.97, 0.98, 0.99, 0.995),
            "activation": Choice("selu", "mish", "relu", "silu"),
            "n_frequencies": Choice(8, 16, 32, 64),
            "d_num_embedding": Choice(4, 8, 16, 32),
            "batch_size": Choice(None, 128, 256, 512),
            "d_embedding": Choice(4, 8, 16),
        },
    ),
    # Gorishniy et al. (2024), appendix D: TabM with piecewise-linear embeddings.
    "tabm": (
        {"lr": Range(1e-4, 5e-3, log=True), "d_block": Range(64, 1024, step=16), "dropout": Range(0.0, 0.5)},
        {"n_blocks": Range(1, 4), "weight_decay": _WEIGHTS, "n_bins": Range(2, 128), "d_num_embedding": Range(8, 32, step=4)},
        {**_TRAINING, **_COLUMNS, "n_members": Choice(8, 16, 32, 64), "share_batches": Choice(False, True)},
    ),
    # Gorishniy et al. (2021), table 13.
    "tab_resnet": (
        {"lr": Range(1e-4, 1e-2, log=True), "dropout1": Range(0.0, 0.5), "d_block": Range(64, 512, log=True)},
        {
            "n_blocks": Range(1, 8),
            "dropout2": Range(0.0, 0.5),
            "weight_decay": _WEIGHTS,
            "d_hidden_multiplier": Range(1.0, 4.0),
        },
        {**_TRAINING, **_COLUMNS, **_AVERAGING},
    ),
    # Gorishniy et al. (2021), table 11.
    "ft_transformer": (
        {"lr": Range(1e-5, 1e-3, log=True), "n_blocks": Range(1, 4), "weight_decay": Range(1e-6, 1e-3, log=True)},
        {
            "d_block": Range(64, 512, step=8),
            "attention_dropout": Range(0.0, 0.5),
            "ffn_dropout": Range(0.0, 0.5),
            "residual_dropout": Range(0.0, 0.2),
            "ffn_d_hidden_multiplier": Range(0.67, 2.67),
        },
        {**_TRAINING, **_AVERAGING, "num_scaler": Choice("robust", "quantile", "standard")},
    ),
    # Arik and Pfister (2021), appendix: batches and momentum are those that the implementations take by now.
    "tabnet": (
        {"lr": Range(5e-3, 5e-2, log=True), "n_steps": Range(3, 10), "gamma": Range(1.0, 2.0)},
        {"n_d": Choice(8, 16, 24, 32, 64), "n_a": Choice(8, 16, 24, 32, 64), "lambda_sparse": Range(1e-6, 1e-1, log=True)},
        {
            "n_shared": Range(1, 3),
            "n_independent": Range(1, 3),
            "momentum": Range(0.01, 0.4, log=True),
            "virtual_batch_size": Choice(64, 128, 256),
            "mask_type": Choice("sparsemax", "entmax"),
            "weight_decay": Range(1e-6, 1e-3, log=True),
        },
    ),
    # Zimmer et al. (2021), "Auto-PyTorch Tabular", table 2.
    "shaped_mlp": (
        {"lr": Range(1e-4, 1e-1, log=True), "n_layers": Range(1, 6), "n_max": Range(64, 1024, log=True)},
        {
            "dropout": Range(0.0, 0.8),
            "weight_decay": Range(1e-5, 1e-1, log=True),
            "shape": Choice("funnel", "long_funnel", "diamond", "hexagon", "brick", "triangle", "stairs"),
        },
        {**_TRAINING, "ema": Choice(0.0, 0.9, 0.99), "activation": Choice("relu", "tanh", "sigmoid")},
    ),
    "shaped_resnet": (
        {"lr": Range(1e-4, 1e-1, log=True), "n_layers": Range(2, 6), "n_max": Range(64, 1024, log=True)},
        {
            "dropout": Range(0.0, 0.8),
            "weight_decay": Range(1e-5, 1e-1, log=True),
            "n_blocks": Range(1, 4),
            "shape": Choice("funnel", "long_funnel", "diamond", "hexagon", "brick", "triangle", "stairs"),
        },
        {**_TRAINING, "shake_drop": Range(0.0, 1.0), "shake_shake": Choice(True, False)},
    ),
    "deep_wide": (
        {"lr": Range(1e-4, 3e-2, log=True), "dropout": Range(0.0, 0.5)},
        {"weight_decay": _WEIGHTS, "d_embedding": Choice(None, 4, 8, 16, 32)},
        {**_TRAINING, **_AVERAGING},
    ),
    "linear": (
        {"lr": Range(1e-3, 3e-1, log=True), "weight_decay": Range(1e-6, 1.0, log=True)},
        {"num_scaler": Choice("standard", "robust", "quantile", "yeo_johnson"), "num_splines": Choice(None, 5, 10, 20)},
        {"l1": Range(1e-7, 1e-2, log=True), "num_polynomial": Choice(None, 2), "cat_encoding": Choice("auto", "target")},
    ),
    "cnn": (
        {"lr": Range(1e-4, 1e-2, log=True), "dropout": Range(0.0, 0.5), "width": Choice(16, 32, 64)},
        {"weight_decay": _WEIGHTS, "n_convs": Range(1, 3), **_IMAGES},
        {"batch_size": Choice(16, 32, 64, 128), "kernel_size": Choice(3, 5), "label_smoothing": Range(0.0, 0.2)},
    ),
    "resnet": (
        {"lr": Range(1e-4, 1e-2, log=True), "dropout": Range(0.0, 0.5), "width": Choice(16, 32, 64)},
        {"weight_decay": _WEIGHTS, **_IMAGES},
        {"batch_size": Choice(16, 32, 64, 128), "label_smoothing": Range(0.0, 0.2)},
    ),
    "backbone": (
        {"lr": Range(1e-5, 1e-2, log=True), "weight_decay": _WEIGHTS},
        {"dropout": Range(0.0, 0.5), "lr_layer_decay": Range(0.5, 1.0), **_IMAGES},
        {"batch_size": Choice(16, 32, 64), "norm_statistics": Choice("trained", "none"), "label_smoothing": Range(0.0, 0.2)},
    ),
    "multimodal": (
        {"lr": Range(1e-4, 1e-2, log=True), "dropout": Range(0.0, 0.5)},
        {"weight_decay": _WEIGHTS, "d_joint": Choice(64, 128, 256), "d_word": Range(16, 256, log=True)},
        {"text_max_words": Choice(2000, 10_000, 30_000), "text_pairs": Choice(0, 4096, 16_384), **_IMAGES},
    ),
    "ensemble": (
        {"members": Choice(("mlp", "realmlp"), ("mlp", "tab_resnet"), ("mlp", "realmlp", "tab_resnet"), ("realmlp", "tabm"))},
        {"n_seeds": Range(1, 3)},
        {},
    ),
    "featureless": ({"center": Choice("mean", "median")}, {}, {}),
}
"""By learner: what is searched in the smallest size, what comes to it in the next one, and in the largest."""

_TRAINED: tuple[Space, Space, Space] = (
    {"lr": Range(1e-4, 3e-2, log=True)},
    {"weight_decay": _WEIGHTS, "batch_size": Choice(None, 64, 128, 256, 512)},
    {"label_smoothing": Range(0.0, 0.2), **_AVERAGING},
)


def space_of(name: str, size: Size) -> dict[str, Domain]:
    """The space of a learner; of one that is not here how it is trained. ``tabm_mini`` has that of ``tabm``."""
    parts = SPACES.get("tabm" if name == "tabm_mini" else name, _TRAINED)
    return {param: domain for part in parts[: SIZES.index(size) + 1] for param, domain in part.items()}


def space_of_graph(graph: Graph, size: Size) -> dict[str, Domain]:
    """How a graph is trained; the shares of its dropouts; from ``medium`` on its choices and how often blocks are repeated."""
    found = space_of("", size)
    for setting in graph.all_settings():
        kind = setting.layer.kind
        if kind == "dropout" and setting.name == "p":
            found[setting.address] = Range(0.0, 0.6)
        elif setting.choices and size != "small":
            found[setting.address] = Choice(*setting.choices)
        elif kind == "block" and setting.name == "n_blocks" and size != "small":
            found[setting.address] = Range(1, max(4, 2 * setting.value))
    return found
