"""A synthetic twin of SIIM-ISIC 2020, the melanomas of the paper's third use case: its schema, none of its data.

Columns as published: an image, ``age_approx`` in steps of five years with missing values, ``sex``, ``anatom_site``,
``patient_id`` with some fifteen moles each, ``malignant`` for about 2 % of them. A mole is more often malignant the older the
patient is and at some sites, and independently of that where its border is ragged and its colour uneven; neither says it all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from onnxlearn.task import Task

SITES = {"head/neck": 0.9, "lower extremity": 0.0, "palms/soles": -0.6, "torso": 0.2, "upper extremity": 0.4}
SIZES = (40, 48, 56)


def table(n_patients: int = 400, seed: int = 0) -> pd.DataFrame:
    """The moles of so many patients, about fifteen of each; images are uint8 ``[h, w, 3]`` of several sizes."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), rng.poisson(14, n_patients) + 1)
    n = len(patient)
    age = np.clip(5 * np.round(rng.normal(50, 15, n_patients) / 5), 10, 90)[patient]
    sex = rng.choice(["female", "male"], n_patients)[patient]
    site = rng.choice(list(SITES), n)
    ragged = rng.normal(size=n)
    risk = 1.3 * (age - 50) / 15 + 0.4 * (sex == "male") + 1.2 * np.vectorize(SITES.get)(site) + 1.8 * ragged
    risk += rng.logistic(size=n)
    malignant = risk > np.quantile(risk, 0.98)
    images = pd.Series([_mole(rng, each) for each in ragged], dtype=object)
    return pd.DataFrame(
        {
            "image": images,
            "age_approx": np.where(rng.random(n) < 0.01, np.nan, age),
            "sex": sex,
            "anatom_site": np.where(rng.random(n) < 0.02, None, site),
            "patient_id": [f"IP_{each:07d}" for each in patient],
            "malignant": np.where(malignant, "malignant", "benign"),
        }
    )


def _mole(rng: np.random.Generator, ragged: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A dark spot on skin, whose border and colour are the more uneven the larger the number."""
    size = int(rng.choice(SIZES))
    y, x = np.mgrid[:size, :size] / size - 0.5
    y, x = y - rng.uniform(-0.08, 0.08), x - rng.uniform(-0.08, 0.08)
    angle, away = np.arctan2(y, x), np.hypot(y, x * rng.uniform(0.8, 1.25))
    uneven = 0.35 / (1 + np.exp(-ragged))
    waves = sum(np.sin(k * angle + rng.uniform(0, 6.3)) * rng.normal() for k in range(3, 9)) / 3
    inside = 1 / (1 + np.exp((away - rng.uniform(0.17, 0.27) * (1 + uneven * waves)) * 60))
    patches = sum(np.sin(rng.normal(0, 14) * x + rng.normal(0, 14) * y + rng.uniform(0, 6.3)) for _ in range(4)) / 2
    skin, spot = np.array([226, 182, 160]) + rng.normal(0, 8, 3), np.array([120, 78, 58]) + rng.normal(0, 8, 3)
    spots = spot + (140 * uneven * patches)[..., None] * np.array([1.0, 0.8, 0.7])
    pixels = skin + (spots - skin) * inside[..., None] + rng.normal(0, 5, (size, size, 1))
    return np.clip(pixels, 1, 255).astype(np.uint8)


def task(frame: pd.DataFrame, features: tuple[str, ...] = ("image", "age_approx", "sex", "anatom_site")) -> Task:
    """To tell malignant moles by these columns; the moles of a patient stay together."""
    columns = [*features, "patient_id", "malignant"]
    kinds = {"image": "image"} if "image" in features else {}
    return Task.from_frame(frame[columns], "malignant", positive="malignant", group="patient_id", kinds=kinds, name="melanoma")
