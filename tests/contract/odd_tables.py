"""Tables with columns of every kind, plain and odd, and what a fitted network says of their rows."""

import dataclasses
import decimal

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from onnxlearn.effects import holds
from onnxlearn.prediction import class_array
from onnxlearn.task import Task
from onnxlearn.testing import assert_parity, run_reference
from onnxlearn.wire.feeds import join_feeds
from onnxlearn_models.mlp import MLP

N_ROWS = 60
DAY = pd.Timestamp("1890-05-06")


def _moments(n, rng, zone=None):
    return pd.Series(DAY + pd.to_timedelta(rng.integers(0, 10**8, n), unit="min")).dt.tz_localize("UTC").dt.tz_convert(zone)


def _choice(levels, n, rng, **options):
    return pd.Series(pd.Categorical(rng.choice(levels, n), **options))


COLUMNS = {
    "float64": lambda n, rng: rng.normal(0, 10.0 ** rng.integers(-6, 12), n),
    "float32": lambda n, rng: rng.normal(0, 1, n).astype(np.float32),
    "int": lambda n, rng: rng.integers(-5, 2**40, n),
    "nullable int": lambda n, rng: pd.Series(rng.integers(0, 9, n), dtype="Int64"),
    "decimal": lambda n, rng: [decimal.Decimal(int(number)) / 100 for number in rng.integers(0, 10**6, n)],
    "duration": lambda n, rng: pd.to_timedelta(rng.integers(-(10**6), 10**6, n), unit="ms"),
    "heavy tail": lambda n, rng: rng.standard_cauchy(n) * 1e3,
    "extreme": lambda n, rng: rng.choice([-1, 1], n) * 10.0 ** rng.uniform(-300, 308, n),
    "mostly zero": lambda n, rng: np.where(rng.random(n) < 0.8, 0.0, rng.exponential(1e4, n)),
    "tiny spread": lambda n, rng: rng.normal(1e15, 1, n),
    "boolean": lambda n, rng: rng.random(n) < 0.5,
    "nullable boolean": lambda n, rng: pd.Series(rng.random(n) < 0.5, dtype="boolean"),
    "strict": lambda n, rng: rng.random(n) < 0.5,
    "text": lambda n, rng: rng.choice(["", "ä", "b", "nan", "None", "東京", "🦜 x"], n),
    "tail": lambda n, rng: [f"level {i}" for i in rng.integers(0, n, n)],
    "code": lambda n, rng: _choice(np.arange(2**53, 2**53 + 15), n, rng),
    "unused levels": lambda n, rng: _choice(list("xy"), n, rng, categories=list("wxyz")),
    "ordered": lambda n, rng: _choice(list("xyz"), n, rng, categories=list("zyxw"), ordered=True),
    "ordered code": lambda n, rng: _choice([3, 1, 2], n, rng, categories=[9, 3, 2, 1], ordered=True),
    "date": _moments,
    "zoned date": lambda n, rng: _moments(n, rng, "Europe/Berlin"),
    "date in text": lambda n, rng: _moments(n, rng).dt.strftime("%Y-%m-%d").to_numpy(object),
    "constant": lambda n, rng: np.full(n, 1.7e9),
    "constant text": lambda n, rng: np.full(n, "same"),
    "constant date": lambda n, rng: np.full(n, DAY),
    "missing": lambda n, rng: np.full(n, np.nan),
}
NO_HOLES = ("float32", "int", "strict", "constant text", "missing")
KINDS = {"int": "numeric", "tail": "categorical", "code": "categorical", "constant text": "categorical"}

TARGETS = {
    "two texts": lambda signal, rng: np.where(signal > 0, "ja", "nein"),
    "booleans": lambda signal, rng: signal > 0,
    "several texts": lambda signal, rng: np.select([signal < -0.5, signal < 0.5], ["b", "größe"], "a"),
    "integers": lambda signal, rng: np.digitize(signal, [-1, 0, 1]) * 10 - 5,
    "number": lambda signal, rng: signal * 1e-3,
    "far number": lambda signal, rng: 1.7e9 + signal,
    "heavy number": lambda signal, rng: rng.standard_cauchy(len(signal)),
}


# What names inside a graph, or of its tensors, could be taken for.
NAMES = ("prep", "N", "num", "a:missing", "x y", "größe", "0")


def make_task(kinds, target, seed, n=N_ROWS):
    """A task with one column of each of these kinds; ``target`` is one of TARGETS, or "several numbers"."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({_name(i, kind): _column(kind, n, rng) for i, kind in enumerate(kinds)})
    names = dict(zip(frame.columns, kinds, strict=True))
    signal = rng.normal(size=n)
    chosen = ["number", "far number"] if target == "several numbers" else [target]
    for i, name in enumerate(chosen):
        frame[f"target {i}"] = TARGETS[name](signal, rng)
    targets = [f"target {i}" for i in range(len(chosen))]
    return Task.from_frame(
        frame,
        targets if len(targets) > 1 else targets[0],
        kinds={name: KINDS[kind] for name, kind in names.items() if kind in KINDS},
        strict_bool=[name for name, kind in names.items() if kind == "strict"],
    )


def _name(position, kind):
    return NAMES[position] if position < len(NAMES) else kind


def _column(kind, n, rng):
    column = pd.Series(COLUMNS[kind](n, rng))
    return column if kind in NO_HOLES else column.mask(rng.random(n) < rng.choice([0, 0.2]))


# Every setting of preprocessing, and what else changes the tensors or the nodes.
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "num_impute": st.sampled_from(["median", "mean", "constant"]),
        "impute_value": st.sampled_from([0.0, -1e9]),
        "missing_indicator": st.booleans(),
        "smooth_clip": st.booleans(),
        "clip": st.sampled_from([3.0, 1e6]),
        "n_quantiles": st.sampled_from([2, 7]),
        "cat_encoding": st.sampled_from(["embedding", "onehot"]),
        "max_onehot": st.sampled_from([0, 3]),
        "min_level_rows": st.sampled_from([1, 5]),
        "ordered_encoding": st.sampled_from(["rank", "categorical"]),
        "datetime_parts": st.sampled_from([("elapsed",), ("minute", "day_cyclic", "day"), ("month_cyclic", "hour_cyclic")]),
        "target_scaler": st.sampled_from(["robust", "minmax", "none"]),
        "num_embedding": st.just("none"),
        "norm": st.sampled_from(["batch", "layer"]),
        "activation": st.sampled_from(["gelu", "selu", "tanh", "mish"]),
        "linear_path": st.just(True),
    },
)


@dataclasses.dataclass
class Fitted:
    """A model, and the network that it was made of."""

    model: object
    network: object

    def expected(self, feeds):
        """What torch and numpy make of rows: the outputs of the file, but for the tolerance."""
        network = self.network
        outputs = network.outputs(feeds)
        if network.scaling is not None:
            return outputs
        probabilities = outputs["probabilities"]
        return {**outputs, "label": class_array(self.model.schema.target)[probabilities.argmax(axis=1)]}

    def check(self, feeds, *, reference=True):
        """The file agrees with torch in batches of 0, 1, 37 and all rows, and with ``onnx.reference``."""
        expected, scaling = self.expected(feeds), self.network.scaling
        location = {} if scaling is None else {"scale": scaling.scale, "center": scaling.center}
        data = self.model.to_bytes()
        assert_parity(data, feeds, expected, **location)
        assert all(np.isfinite(array).all() for array in self.model.predict_feeds(feeds).values() if array.dtype.kind == "f")
        if reference:
            assert_parity(data, feeds, run_reference(data, feeds), **location)


def that_count(options):
    """Settings that were drawn each by itself, without those that count for nothing beside the others."""
    whens = {param.name: param.when for param in MLP().params}
    values = {**MLP().values, **options}
    return {name: value for name, value in options.items() if holds(whens[name], values)}


def fit(task, **options):
    """Fit a small network and keep it."""
    kept = []

    class Kept(MLP):
        """As ``mlp``."""

        name = "mlp"

        def train_prepared(self, *args, **more):
            kept.append(super().train_prepared(*args, **more))
            return kept[-1]

    small = {"max_epochs": 3, "d_block": 16, "device": "cpu", "lr": 1e-3}
    model = Kept(**that_count({**small, **options})).fit(task, progress=False)
    double = any("computes in DOUBLE" in note for note in model.metadata["notes"])
    return Fitted(model, kept[-1].in_float64() if double else kept[-1])


def mixed_rows(first, second, seed=0):
    """Both tables' rows, in a random order."""
    rows = join_feeds(first, second)
    order = np.random.default_rng(seed).permutation(len(next(iter(rows.values()))))
    return {name: array[order] for name, array in rows.items()}
