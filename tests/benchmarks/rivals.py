"""The rivals of the quality benchmark: class defaults, but for a sensible pipeline around scikit-learn's perceptron.

Each gives the predictions for the test rows: probabilities in the order of the sorted classes, or numbers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

Array = np.ndarray


@dataclass(frozen=True)
class Split:
    """A data set cut in two, and a seed."""

    train: pd.DataFrame
    test: pd.DataFrame
    target: str
    is_classification: bool
    seed: int

    @cached_property
    def y(self) -> Array:
        return self.train[self.target].to_numpy()

    def features(self) -> tuple[pd.DataFrame, pd.DataFrame, list[str], list[str]]:
        """Both parts with datetimes taken apart; the names of the numbers and of the categories."""
        train, test = (_dates_apart(frame.drop(columns=self.target)) for frame in (self.train, self.test))
        numbers = [name for name in train if pd.api.types.is_numeric_dtype(train[name])]
        return train, test, numbers, [name for name in train if name not in numbers]


def _dates_apart(frame: pd.DataFrame) -> pd.DataFrame:
    columns = {}
    for name, column in frame.items():
        if pd.api.types.is_datetime64_any_dtype(column):
            for part in ("year", "month", "day", "weekday", "hour"):
                columns[f"{name}_{part}"] = getattr(column.dt, part).astype(float)
            columns[name] = (column - pd.Timestamp("1970-01-01")).dt.total_seconds() / 86400
        else:
            columns[name] = column
    return pd.DataFrame(columns)


def _objects(frame: pd.DataFrame, categories: list[str], missing: object) -> pd.DataFrame:
    plain = {name: frame[name].astype(object).where(frame[name].notna(), missing) for name in categories}
    return frame.assign(**plain)


def _predict(estimator: object, split: Split, test: pd.DataFrame) -> Array:
    return estimator.predict_proba(test) if split.is_classification else np.ravel(estimator.predict(test))


def sklearn_mlp(split: Split) -> Array:
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    train, test, numbers, categories = split.features()
    train, test = (_objects(frame, categories, np.nan) for frame in (train, test))
    onehot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=50, sparse_output=False)
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prep = ColumnTransformer([("numbers", scaled, numbers), ("categories", onehot, categories)])
    settings = {
        "hidden_layer_sizes": (256, 256, 256), "batch_size": min(256, len(train)), "max_iter": 50, "early_stopping": True,
        "n_iter_no_change": 10, "learning_rate_init": 1e-3, "random_state": split.seed,
    }  # fmt: skip
    if split.is_classification:
        net: object = MLPClassifier(**settings)
    else:
        net = TransformedTargetRegressor(MLPRegressor(**settings), transformer=StandardScaler())
    return _predict(make_pipeline(prep, net).fit(train, split.y), split, test)


def hist_gradient_boosting(split: Split) -> Array:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder, TargetEncoder

    train, test, numbers, categories = split.features()
    # It takes at most 255 levels as categories; longer columns are encoded by the target.
    n_levels = {name: max(train[name].nunique(), len(train[name].cat.categories)) for name in categories}
    short = [name for name in categories if n_levels[name] <= 254]
    long = [name for name in categories if name not in short]
    train, test = (_objects(frame, categories, np.nan) for frame in (train, test))
    coded = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    by_target = TargetEncoder(random_state=split.seed)
    prep = ColumnTransformer([("short", coded, short), ("long", by_target, long), ("numbers", "passthrough", numbers)])
    is_category = [True] * len(short) + [False] * (len(long) + len(numbers))
    cls = HistGradientBoostingClassifier if split.is_classification else HistGradientBoostingRegressor
    booster = cls(categorical_features=is_category, random_state=split.seed)
    return _predict(make_pipeline(prep, booster).fit(train, split.y), split, test)


def lightgbm(split: Split) -> Array:
    import lightgbm

    train, test, _, _ = split.features()
    cls = lightgbm.LGBMClassifier if split.is_classification else lightgbm.LGBMRegressor
    return _predict(cls(n_jobs=1, verbose=-1, random_state=split.seed).fit(train, split.y), split, test)


def catboost(split: Split) -> Array:
    import catboost

    (train, test), categories = text_categories(split), split.features()[3]
    cls = catboost.CatBoostClassifier if split.is_classification else catboost.CatBoostRegressor
    quiet = {"allow_writing_files": False, "verbose": 0, "thread_count": 1}
    booster = cls(cat_features=categories, random_seed=split.seed, **quiet)
    return _predict(booster.fit(train, split.y), split, test)


def text_categories(split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both parts with categories as texts, missing ones among them, as CatBoost takes them."""
    train, test, _, categories = split.features()
    first, second = (_objects(frame, categories, "NA").astype(dict.fromkeys(categories, str)) for frame in (train, test))
    return first, second


def xgboost(split: Split) -> Array:
    import xgboost

    train, test, _, _ = split.features()
    settings = {"enable_categorical": True, "n_jobs": 1, "random_state": split.seed}
    if not split.is_classification:
        return _predict(xgboost.XGBRegressor(**settings).fit(train, split.y), split, test)
    _, classes = np.unique(split.y, return_inverse=True)
    return _predict(xgboost.XGBClassifier(**settings).fit(train, classes), split, test)


def imputed(split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both parts with missing numbers replaced by the median."""
    from sklearn.impute import SimpleImputer

    train, test, numbers, _ = split.features()
    imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(train[numbers].astype(float))
    first, second = (
        frame.assign(**dict(zip(numbers, imputer.transform(frame[numbers].astype(float)).T, strict=True)))
        for frame in (train, test)
    )
    return first, second


def _pytabkit(name: str, split: Split, log_loss: dict[str, object]) -> Array:
    """One of its networks, which take pandas' categories but no missing number."""
    import pytabkit

    train, test = imputed(split)
    cls = getattr(pytabkit, f"{name}_{'Classifier' if split.is_classification else 'Regressor'}")
    settings = log_loss if split.is_classification else {}
    network = cls(device="cpu", n_threads=1, random_state=split.seed, **settings)
    return _predict(network.fit(train, split.y), split, test)


def pytabkit_realmlp(split: Split) -> Array:
    # What its documentation recommends to those who care about cross-entropy.
    return _pytabkit("RealMLP_TD", split, {"val_metric_name": "cross_entropy", "use_ls": False})


def pytabkit_tabm(split: Split) -> Array:
    return _pytabkit("TabM_D", split, {"val_metric_name": "cross_entropy"})


def ours(name: str) -> Callable[[Split], Array]:
    """One of our learners with nothing given but the seed, by running the exported file."""

    def run(split: Split) -> Array:
        import onnxlearn as ol

        type_ = "classification" if split.is_classification else "regression"
        task = ol.Task.from_frame(split.train, split.target, type=type_)
        learner = ol.learner(name)
        if "seed" in learner.values:
            learner = learner.replace(seed=split.seed)
        prediction = learner.fit(task, progress=False).predict(split.test)
        return prediction.prob if split.is_classification else prediction.response

    return run


RIVALS: dict[str, Callable[[Split], Array]] = {
    "sklearn MLP": sklearn_mlp,
    "HistGradientBoosting": hist_gradient_boosting,
    "LightGBM": lightgbm,
    "XGBoost": xgboost,
    "CatBoost": catboost,
    "pytabkit RealMLP": pytabkit_realmlp,
    "pytabkit TabM": pytabkit_tabm,
}
BOOSTING = ("HistGradientBoosting", "LightGBM", "XGBoost", "CatBoost")

# Modules that a fit needs: they are imported before its clock starts.
MODULES = {
    "sklearn MLP": ("sklearn.neural_network", "sklearn.pipeline", "sklearn.compose"),
    "HistGradientBoosting": ("sklearn.ensemble", "sklearn.pipeline", "sklearn.compose"),
    "LightGBM": ("lightgbm",),
    "XGBoost": ("xgboost", "sklearn"),
    "CatBoost": ("catboost",),
    "pytabkit RealMLP": ("pytabkit", "pytabkit.models.alg_interfaces.nn_interfaces", "torch._dynamo"),
    "pytabkit TabM": ("pytabkit", "pytabkit.models.alg_interfaces.tabm_interface", "torch._dynamo"),
}


def prepare(name: str) -> Callable[[Split], Array]:
    """What fits and predicts, with its imports done; a name that is no rival's is one of our learners."""
    if name in RIVALS:
        for module in MODULES[name]:
            importlib.import_module(module)
        return RIVALS[name]
    from onnxlearn.registry import learner_info

    learner_info(name).load()
    return ours(name)
