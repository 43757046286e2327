"""Calibrated models on the command line: asked for by ``--set``, columns of ``predict``, refusals before training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol

EXAMPLE = Path(ol.__file__).parent / "data/penguins.csv"
QUICK = {"max_epochs": "2", "n_blocks": "1", "d_block": "8"}


def fit(command, data, target, **settings):
    options = [f"--set={name}={value}" for name, value in (QUICK | settings).items()]
    return command("fit", data, "--target", target, *options)


def predicted(command, data) -> pd.DataFrame:
    done = command("predict", "model.onnx", data)
    assert (done.code, done.err) == (0, "")
    return pd.read_csv(io.StringIO(done.out))


def test_quantiles_and_intervals(command) -> None:
    pd.read_csv(EXAMPLE).dropna(subset="body_mass_g").to_csv("weighed.csv", index=False)
    done = fit(command, "weighed.csv", "body_mass_g", head="quantile", quantiles="0.1,0.5,0.9", coverage="0.8")
    assert done.code == 0, done.err
    frame = predicted(command, "weighed.csv")
    assert frame.columns.tolist() == ["prediction", "q0.1", "q0.5", "q0.9", "lower", "upper"]
    assert (np.diff(frame[["q0.1", "q0.5", "q0.9"]]) >= 0).all()
    assert frame["prediction"].tolist() == frame["q0.5"].tolist()
    card = command("inspect", "model.onnx").out
    assert "gives      prediction, quantiles, lower, upper" in card
    assert "51 others for calibration" in card


def test_sets_and_a_threshold(command) -> None:
    done = fit(command, EXAMPLE, "species", temperature="true", coverage="0.9")
    assert done.code == 0, done.err
    frame = predicted(command, "example:penguins")
    assert frame.columns.tolist()[4:] == ["set_Adelie", "set_Chinstrap", "set_Gentoo"]
    assert frame.dtypes.iloc[4:].tolist() == [np.dtype(bool)] * 3
    done = fit(command, "example:penguins", "species", threshold="f1")
    assert done.error == (
        "threshold='f1' is for two classes, the target 'species' has 3: leave it out, or predict one class against the rest"
    )


def test_fit_says_what_was_chosen(command) -> None:
    frame = pd.read_csv(EXAMPLE)
    frame.assign(heavy=(frame["body_mass_g"] > 4200).map({True: "yes", False: "no"})).to_csv("heavy.csv", index=False)
    done = fit(command, "heavy.csv", "heavy", threshold="f1", coverage="0.8")
    assert done.code == 0, done.err
    chosen = ol.load("model.onnx").metadata["training"]["calibration"]
    said = [line.removeprefix("calibrated: ") for line in done.out.splitlines() if line.startswith("calibrated: ")]
    assert said[0] == f"yes is predicted from a probability of {chosen['threshold']:.4g} on"
    assert said[1] == "on 52 rows set aside"
    assert said[2].startswith("sets hold the true class of 80 of 100 rows or more")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"coverage": "0.99"},
            "coverage=0.99 needs at least 99 calibration rows, there are 52: give more rows, a larger share",
        ),
        ({"coverage": "1.5"}, "learner 'mlp': coverage has to be float | None > 0, < 1, not 1.5"),
        (
            {"calibration": "0.3"},
            "learner 'mlp': calibration=0.3 changes nothing with coverage=None: leave it out; it counts with coverage given",
        ),
        ({"head": "normal"}, "head='normal' is for numbers, the target 'species' has classes: leave it out"),
        ({"threshold": "fone"}, "learner 'mlp': threshold has to be float | acc | ce | bacc | f1"),
        (
            {"threshold": "auc"},
            "learner 'mlp': threshold='auc' cannot be: it scores probabilities, which no threshold changes; ",
        ),
        (
            {"calibration": "0.9", "coverage": "0.8"},
            "calibration=0.9 of the 344 rows cannot be set aside: there are 292 left beside",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_training(command, settings, message) -> None:
    done = fit(command, "example:penguins", "species", **settings)
    assert done.code == 2
    assert done.error.startswith(message)
    assert not Path("model.onnx").exists()
