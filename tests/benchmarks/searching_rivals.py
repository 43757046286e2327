"""Gradient boosting that searches for a given time: TPE, five folds with early stopping, greedy selection.

Ranges are such as Gorishniy et al. (2021), "Revisiting Deep Learning Models for Tabular Data", and Erickson et al. (2025),
"TabArena", search. Every trial has a model for each fold; what is predicted for the test rows is the mean of those of the
trials that greedy selection takes, as in learner `auto`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from rivals import Split, text_categories

N_FOLDS, N_ROUNDS, PATIENCE, MAX_MEMBERS = 5, 2000, 50, 8
# Of the time, for what comes after the search.
LEFT = 0.03


def searched(name: str, n_threads: int) -> Callable[[Split, float], np.ndarray]:
    """A rival that searches for so many seconds."""
    fit, draw = {"LightGBM": (_lightgbm, _draw_lightgbm), "CatBoost": (_catboost, _draw_catboost)}[name]

    def run(part: Split, budget: float) -> np.ndarray:
        import optuna
        from sklearn.model_selection import KFold, StratifiedKFold

        from onnxlearn_models.auto.choose import choose, mean_of

        end = time.perf_counter() + (1 - LEFT) * budget
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        train, test = text_categories(part) if name == "CatBoost" else part.features()[:2]
        classes, y = np.unique(part.y, return_inverse=True) if part.is_classification else (None, part.y.astype(float))
        cls = StratifiedKFold if part.is_classification else KFold
        folds = list(cls(N_FOLDS, shuffle=True, random_state=part.seed).split(train, y))

        def cost(outputs: Mapping[str, np.ndarray]) -> float:
            found = outputs["prediction"]
            if classes is None:
                return float(np.sqrt(np.mean((found - y) ** 2)))
            return float(-np.mean(np.log(np.clip(found[np.arange(len(y)), y], 1e-15, 1))))

        unseen: list[dict[str, np.ndarray]] = []
        tests: list[dict[str, np.ndarray]] = []
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=part.seed))
        # The first trial is what the package has by itself.
        while not unseen or time.perf_counter() < end:
            trial = study.ask()
            settings = draw(trial) if unseen else {}
            parts = []
            for inside, outside in folds:
                if unseen and time.perf_counter() > end:
                    break
                rows = (train.iloc[inside], y[inside], train.iloc[outside], y[outside])
                predict = fit(rows, settings, part.seed, n_threads, n_classes=0 if classes is None else len(classes))
                parts.append((outside, predict(train.iloc[outside]), predict(test)))
            if len(parts) < N_FOLDS:
                break
            order = np.argsort(np.concatenate([outside for outside, _, _ in parts]))
            unseen.append({"prediction": np.concatenate([found for _, found, _ in parts])[order]})
            tests.append({"prediction": np.mean([found for _, _, found in parts], axis=0)})
            study.tell(trial, cost(unseen[-1]))
        return mean_of(tests, choose(unseen, cost, MAX_MEMBERS))["prediction"]

    return run


Rows = tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]


def _draw_lightgbm(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 5e-3, 0.1, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 16, 255, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.4, 1.0),
        "min_child_samples": trial.suggest_int("min_child_samples", 2, 60),
        "extra_trees": trial.suggest_categorical("extra_trees", [False, True]),
    }


def _lightgbm(rows: Rows, settings: Mapping[str, Any], seed: int, n_threads: int, *, n_classes: int) -> Callable[[Any], Any]:
    import lightgbm

    x, y, x_valid, y_valid = rows
    cls = lightgbm.LGBMClassifier if n_classes else lightgbm.LGBMRegressor
    model = cls(n_estimators=N_ROUNDS, n_jobs=n_threads, random_state=seed, verbose=-1, **settings)
    metric = ("binary_logloss" if n_classes == 2 else "multi_logloss") if n_classes else "rmse"
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    model.fit(x, y, eval_set=[(x_valid, y_valid)], eval_metric=metric, callbacks=[stop])
    return model.predict_proba if n_classes else model.predict


def _draw_catboost(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 5e-3, 0.3, log=True),
        "depth": trial.suggest_int("depth", 3, 10),
        "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 1.0, 10.0, log=True),
        "bagging_temperature": trial.suggest_float("bagging_temperature", 0.0, 1.0),
        "leaf_estimation_iterations": trial.suggest_int("leaf_estimation_iterations", 1, 10),
    }


def _catboost(rows: Rows, settings: Mapping[str, Any], seed: int, n_threads: int, *, n_classes: int) -> Callable[[Any], Any]:
    import catboost

    x, y, x_valid, y_valid = rows
    categories = [name for name in x if not pd.api.types.is_numeric_dtype(x[name])]
    loss = ("Logloss" if n_classes == 2 else "MultiClass") if n_classes else "RMSE"
    cls = catboost.CatBoostClassifier if n_classes else catboost.CatBoostRegressor
    model = cls(
        iterations=N_ROUNDS, loss_function=loss, cat_features=categories, random_seed=seed, thread_count=n_threads,
        allow_writing_files=False, verbose=0, **settings,
    )  # fmt: skip
    model.fit(x, y, eval_set=(x_valid, y_valid), early_stopping_rounds=PATIENCE)
    return model.predict_proba if n_classes else model.predict
