"""The same cross-validation of the same network as people write it with scikit-learn and skorch."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from torch import nn

import onnxlearn as ol

N_BLOCKS, D_BLOCK, DROPOUT = 3, 256, 0.3
EPOCHS, BATCH_SIZE, LR, WEIGHT_DECAY, HELD_OUT = 40, 32, 5e-4, 0.01, 5
MEASURES = {"acc": "accuracy", "logloss": "neg_log_loss"}


def our_learner() -> ol.Learner:
    """Our default network for small tables but for the embeddings, and the plainest training."""
    return ol.learner(
        "mlp", num_embedding="none", cat_encoding="onehot", num_scaler="standard", smooth_clip=False, n_blocks=N_BLOCKS,
        d_block=D_BLOCK, dropout=DROPOUT, activation="relu", max_epochs=EPOCHS, patience=None, batch_size=BATCH_SIZE, lr=LR,
        weight_decay=WEIGHT_DECAY, schedule="constant", warmup=0, ema=0, validation=1 / HELD_OUT, seed=0,
    )  # fmt: skip


class Net(nn.Sequential):
    """Blocks of a linear layer, ReLU and dropout, and a linear layer."""

    def __init__(self, d_in: int = 1, n_classes: int = 2) -> None:
        widths = [d_in] + [D_BLOCK] * N_BLOCKS
        blocks = [(nn.Linear(widths[i], D_BLOCK), nn.ReLU(), nn.Dropout(DROPOUT)) for i in range(N_BLOCKS)]
        super().__init__(*(part for block in blocks for part in block), nn.Linear(D_BLOCK, n_classes))


def prepare() -> Pipeline:
    """Impute, scale and tell what was missing; one-hot with a column for missing."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    words = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"), OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    )
    is_number = make_column_selector(dtype_include="number")
    is_word = make_column_selector(dtype_exclude="number")
    as_float32 = FunctionTransformer(np.asarray, kw_args={"dtype": np.float32})
    return make_pipeline(make_column_transformer((numbers, is_number), (words, is_word)), as_float32)


def pipeline(task: ol.Task):
    """Preprocessing and network as one estimator."""
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Callback
    from skorch.dataset import ValidSplit

    class Widen(Callback):
        """The width of the first layer, which the preprocessing decides on."""

        def on_train_begin(self, net, **rows):
            net.set_params(module__d_in=rows["X"].shape[1])

    net = NeuralNetClassifier(
        Net, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.AdamW, optimizer__weight_decay=WEIGHT_DECAY, lr=LR,
        max_epochs=EPOCHS, batch_size=BATCH_SIZE, iterator_train__shuffle=True, verbose=0, callbacks=[("widen", Widen())],
        train_split=ValidSplit(HELD_OUT, stratified=True), module__n_classes=len(task.schema.target.classes),
    )  # fmt: skip
    return make_pipeline(prepare(), net)


def theirs(task: ol.Task, splits: ol.resampling.Splits) -> dict[str, float]:
    """Mean scores by our names."""
    x, y = task.frame[list(task.schema.feature_names)], task.truth()
    torch.manual_seed(0)
    cv = [(splits.train(i), splits.test(i)) for i in range(len(splits))]
    found = cross_validate(pipeline(task), x, y, cv=cv, scoring=list(MEASURES.values()), error_score="raise")
    return {ours: abs(float(found[f"test_{name}"].mean())) for ours, name in MEASURES.items()}


def ours(task: ol.Task, splits: ol.resampling.Splits) -> dict[str, float]:
    """Mean scores, by running the exported files."""
    return ol.resample(task, our_learner(), splits, list(MEASURES), progress=False).aggregate()


def count_parameters(task: ol.Task) -> tuple[int, int]:
    """Of our network and of theirs."""
    x = prepare().fit_transform(task.frame[list(task.schema.feature_names)])
    nets = our_learner().untrained(task), Net(x.shape[1], len(task.schema.target.classes))
    first, second = (sum(parameter.numel() for parameter in net.parameters()) for net in nets)
    return first, second
