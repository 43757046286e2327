"""Models whose names would break a careless client, with every type of column and every form of output."""

import functools
import json

import numpy as np
import pandas as pd

import onnxlearn as ol
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.model import Model
from onnxlearn.schema import MISSING_INT64

# Years 1 to 9999: what most languages have dates for.
FIRST, LAST = -62_135_510_400_000_000, 253_402_214_400_000_000
EMOJI = '🦜 "q" \\'
CITIES = ["Köln", "東京", '"q" \\', "*/ ??/ \\u000a", "--> <b> & {@link} ${x} %s {{ x }}", "two\nlines\u2028\u202e"]
NAMES = {
    "flight": "flight", "paid": "class", "checked": "Row", "day": "departure day", "zone": "équipe", "small": "größe",
    "distance": "1st", "city": "東京", "took": 'a "b" \\u000a */\n${x} {{ y }} %s </summary>', "plain": "__proto__",
    "other": "prediction_",
}  # fmt: skip


def every_type(*, emoji, n=150):
    rng = np.random.default_rng(0)
    paid = rng.random(n) < 0.5
    day = pd.Series(pd.Timestamp("1968-11-30 23:00") + pd.to_timedelta(rng.integers(0, 5000, n), unit="h"))
    frame = pd.DataFrame(
        {
            "flight": pd.Categorical(rng.choice([-7, 15, 2**53 + 1], n)),
            "paid": pd.Series(paid, dtype="boolean").mask(rng.random(n) < 0.1),
            "checked": rng.random(n) < 0.5,
            "day": day.mask(rng.random(n) < 0.1),
            "zone": day.dt.tz_localize("UTC"),
            "small": rng.normal(size=n).astype(np.float32),
            "distance": pd.Series(rng.exponential(1e5, n)).mask(rng.random(n) < 0.1),
            "city": rng.choice([*CITIES, EMOJI] if emoji else CITIES, n),
            "took": pd.Series(pd.to_timedelta(rng.integers(0, 9000, n), unit="s")),
            "plain": rng.normal(size=n),
            "other": rng.normal(size=n),
        }
    ).rename(columns=NAMES)
    frame["y"] = 1.7e9 + rng.normal(size=n) + paid
    frame["z"] = rng.normal(size=n)
    frame["kind"] = np.where(frame.z > 0.5, 'a "b" \\u000a */ %s', np.where(frame.z > 0, "10", "9"))
    frame["code"] = rng.choice([2**53 + 1, -7, 3], n)
    frame["won"] = frame.z > 0
    return frame


# And "indices", "unseen" and "masks".
CASES = {
    "numbers": (["y"], {"head": "quantile", "coverage": 0.8}),
    "several": (["y", "z"], {"head": "quantile"}),
    "spread": (["y"], {"head": "normal"}),
    "classes": (["kind"], {"coverage": 0.8}),
    "codes": (["code"], {}),
    "flags": (["won"], {"coverage": 0.9}),
}


@functools.cache
def client_model(case, *, emoji=True):
    """``emoji``: also a level beyond U+FFFF, which the Java interface of ONNX Runtime cannot pass."""
    if case == "indices":
        from onnxlearn.graph.rewrite import rewrite

        return Model(rewrite(client_model("classes", emoji=emoji).to_bytes(), labels="indices"))
    if case == "unseen":
        from onnxlearn.graph.rewrite import rewrite

        return Model(rewrite(client_model("codes", emoji=emoji).to_bytes(), outputs=("label", "probabilities", "unseen")))
    if case == "masks":
        frame = every_type(emoji=emoji)[["größe", "東京", "y"]]
        return ol.learner("tabnet", max_epochs=1, masks="steps").fit(ol.Task.from_frame(frame, "y"), progress=False)
    target, options = CASES[case]
    frame = every_type(emoji=emoji)
    frame = frame[[*NAMES.values(), *target]]
    kind = "classification" if case in ("classes", "codes", "flags") else "regression"
    task = ol.Task.from_frame(frame, target if len(target) > 1 else target[0], type=kind, strict_bool=["Row"])
    return ol.learner("linear", max_epochs=2, **options).fit(task, progress=False)


def client_feeds(model):
    """Hostile rows, with dates that a client's language has."""
    feeds = hostile_feeds(model.schema)
    for column in model.schema.of_kind("datetime"):
        dates = feeds[column.name]
        feeds[column.name] = np.where((dates < FIRST) | (dates > LAST), MISSING_INT64, dates)
    return feeds


def assert_printed(text, model, feeds):
    """What an example printed is what the model gives: labels equal, numbers within 1e-5."""
    outputs = model.predict_feeds(feeds)
    rows = [block.splitlines()[1:] for block in text.split("row ")[1:]]
    assert len(rows) == len(next(iter(feeds.values())))
    for i, lines in enumerate(rows):
        printed = dict(line.strip().split(": ", 1) if ": " in line else (line.strip().rstrip(":"), "") for line in lines)
        assert list(printed) == list(outputs)
        for name, value in printed.items():
            assert_value(name, value, outputs[name][i], model.schema.target)


def assert_value(name, printed, expected, target):
    if name == "label":
        assert printed == _text(bool(expected) if target.dtype == "bool" else expected)
    elif name == "set":
        assert printed.strip() == " ".join(_text(c) for c, inside in zip(target.classes, expected, strict=True) if inside)
    else:
        numbers = [float(json.loads(part)) if part in ("true", "false") else float(part) for part in printed.split()]
        np.testing.assert_allclose(numbers, np.ravel(expected).astype(float), rtol=1e-5, atol=1e-5)


def _text(label):
    return str(label).lower() if isinstance(label, bool) else str(label)
