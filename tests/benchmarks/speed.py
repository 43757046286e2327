"""Speed as ratios against a bare reference in the same run.

python tests/benchmarks/speed.py                 every benchmark, a table on stdout
python tests/benchmarks/speed.py epoch predict   some of them
python tests/benchmarks/speed.py --write         also into docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
from timing import Row, cpu_of_process, markdown, paired, process, row, script, seconds, write_section

import onnxlearn as ol

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "benchmarks.md"
CHUNK = 1000


def mixed_table(n_rows: int, seed: int = 0) -> pd.DataFrame:
    """17 numbers and 5 categories of 50 levels, with a target that depends on both."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n_rows, 17))
    codes = rng.integers(0, 50, size=(n_rows, 5))
    frame = pd.DataFrame(numbers, columns=[f"x{i}" for i in range(17)])
    levels = np.array([f"level {i:02d}" for i in range(50)], dtype=object)
    for j in range(5):
        frame[f"c{j}"] = levels[codes[:, j]]
    score = numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + 0.05 * (codes[:, 0] - 25) + rng.normal(size=n_rows)
    frame["y"] = np.where(score > 0, "yes", "no")
    return frame


def mixed_model(frame: pd.DataFrame) -> ol.Model:
    """The same network as the scikit-learn pipeline below: one-hot, three layers of 256, ReLU."""
    settings = {"num_embedding": "none", "cat_encoding": "onehot", "num_scaler": "standard", "smooth_clip": False}
    learner = ol.learner("mlp", n_blocks=3, d_block=256, activation="relu", max_epochs=3, seed=0, **settings)
    return learner.fit(ol.Task.from_frame(frame, "y"))


def sklearn_pipeline(frame: pd.DataFrame):
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prep = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_exclude="number")),
    )
    net = MLPClassifier((256, 256, 256), max_iter=3, batch_size=256, random_state=0)
    return make_pipeline(prep, net).fit(frame.drop(columns="y"), frame["y"])


def bare_session(model: ol.Model):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model.to_bytes(), options, providers=["CPUExecutionProvider"])


def bench_epoch() -> list[Row]:
    """An epoch of ours against the best loop that people write by hand (performance of diamonds-sized data)."""
    from epochs import compare_epochs

    return compare_epochs()


def bench_fit() -> list[Row]:
    """`onnxlearn fit` on the penguins, process start to file on disk, against a bare torch script."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "penguins.onnx")
        command = (script("onnxlearn"), "fit", "example:penguins", "--target", "species", "--seed", "0", "--out", out)
        ours = process(*command)
        ours()
        training = ol.load(out).metadata["training"]
        shape = ol.learner("mlp").values
        settings = (training["epochs"], shape["n_blocks"], shape["d_block"], 0.3, training["batch_size"])
        bare = process(sys.executable, str(HERE / "bare_fit.py"), *map(str, settings))
        wall = paired(ours, bare, pairs=5)
    return [row("`onnxlearn fit` on the penguins / bare torch script, whole processes", wall, "at most 1.5")]


def bench_export() -> list[Row]:
    """Lowering, fusing, checking, proving and serialising a fitted mlp, once warm."""
    from exporting import export_milliseconds

    return [row("export of a fitted `mlp`, warm", export_milliseconds(ol.learner("mlp", max_epochs=1)), "at most 50 ms", "ms")]


def bench_predict_one() -> list[Row]:
    frame = mixed_table(5000)
    model, pipeline = mixed_model(frame), sklearn_pipeline(frame)
    session, one = bare_session(model), frame.drop(columns="y").iloc[[0]]
    record = {name: (value.item() if hasattr(value, "item") else value) for name, value in one.iloc[0].items()}
    feeds = {name: one[[name]].to_numpy(dtype=float if name.startswith("x") else object) for name in one.columns}
    loops = 500

    def repeat(work: Callable[[], object], times: int) -> Callable[[], object]:
        return lambda: [work() for _ in range(times)]

    ours = repeat(lambda: model.predict_one(record), loops)
    bare = paired(ours, repeat(lambda: session.run(None, feeds), loops), pairs=9)
    ratio = paired(repeat(lambda: pipeline.predict_proba(one), 50), repeat(lambda: model.predict_one(record), 50), pairs=9)
    return [
        row("`predict_one` / bare `session.run` with ready arrays", bare, "at most 2"),
        row("scikit-learn pipeline's `predict_proba` of one row / `predict_one`", ratio, "at least 40"),
    ]


def bench_predict() -> list[Row]:
    """A million mixed rows from a data frame."""
    train, frame = mixed_table(5000), mixed_table(1_000_000, seed=1).drop(columns="y")
    model, pipeline = mixed_model(train), sklearn_pipeline(train)
    session = bare_session(model)
    feeds = {
        name: np.ascontiguousarray(frame[[name]].to_numpy(dtype=float if name.startswith("x") else object))
        for name in frame.columns
    }

    def bare() -> None:
        for start in range(0, len(frame), CHUNK):
            session.run(None, {name: values[start : start + CHUNK] for name, values in feeds.items()})

    def scikit() -> None:
        for start in range(0, len(frame), 50_000):
            pipeline.predict_proba(frame.iloc[start : start + 50_000])

    cpu = paired(scikit, lambda: model.predict(frame), pairs=3, clock=time.process_time)
    return [
        row(
            "a million mixed rows: `predict` of a data frame / bare loop over ready arrays",
            paired(lambda: model.predict(frame), bare, pairs=5),
            "at most 1.25",
        ),
        row("CPU time of the scikit-learn pipeline / `predict`, a million rows", cpu, "at least 1.5"),
    ]


def bench_memory() -> list[Row]:
    """Peak memory of `onnxlearn predict` on a large and on a small CSV file."""
    with tempfile.TemporaryDirectory() as folder:
        model, small, large = (str(Path(folder) / name) for name in ("m.onnx", "small.csv", "large.csv"))
        frame = mixed_table(5000)
        mixed_model(frame).save(model)
        frame.head(1000).to_csv(small, index=False)
        mixed_table(400_000).to_csv(large, index=False)
        code = (
            "import resource, sys; from onnxlearn_cli import main; sys.argv[0] = 'onnxlearn'\n"
            "try: main()\nexcept SystemExit: pass\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
        )
        peaks = [_peak(code, model, data, str(Path(folder) / "out.csv")) for data in (small, large)]
    return [row("peak memory of `onnxlearn predict`: 400,000 rows / 1,000 rows", [peaks[1] / peaks[0]], "about 1")]


def _peak(code: str, model: str, data: str, out: str) -> float:
    import subprocess

    command = [sys.executable, "-c", code, "predict", model, data, "--out", out]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stderr.strip().splitlines()[-1])


def bench_start() -> list[Row]:
    """What a process pays before it does anything."""
    with tempfile.TemporaryDirectory() as folder:
        model, data = str(Path(folder) / "m.onnx"), str(Path(folder) / "rows.csv")
        task = ol.Task.from_file("example:penguins", "species")
        ol.learner("mlp", max_epochs=2, seed=0).fit(task).save(model)
        task.frame.head(20).to_csv(data, index=False)
        predict = process(script("onnxlearn"), "predict", model, data, "--out", str(Path(folder) / "out.csv"))
        torch = process(sys.executable, "-c", "import torch")
        wall = paired(predict, torch, pairs=9)
    bare = [cpu_of_process(sys.executable, "-c", "pass") for _ in range(9)]
    ours = [cpu_of_process(sys.executable, "-c", "import onnxlearn") for _ in range(9)]
    return [
        row("`onnxlearn predict` on a small CSV / `python -c 'import torch'`, whole processes", wall, "at most 0.5"),
        row("`import onnxlearn`, CPU time of the process (bare interpreter below)", ours, "under 0.15 s", "s"),
        row("`python -c pass`, CPU time of the process", bare, "", "s"),
    ]


def bench_importance() -> list[Row]:
    """Permutation importance of 22 columns, 5 repeats, against shuffling data frames and predicting them one by one."""
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import log_loss

    model, frame = mixed_model(mixed_table(5000)), mixed_table(500, seed=1)
    rows, truth, rng = frame.drop(columns="y"), frame["y"], np.random.default_rng(0)

    class Estimator:
        def fit(self) -> None: ...

    def score(estimator: Estimator, table: pd.DataFrame, classes: pd.Series) -> float:
        return -log_loss(classes, model.predict(table).prob)

    def ours() -> None:
        ol.importance(model, frame, repeats=5, progress=False)

    def naive() -> None:
        for name in rows.columns:
            for _ in range(5):
                model.predict(frame.assign(**{name: rng.permutation(frame[name].to_numpy())})).score("logloss")

    def scikit() -> None:
        permutation_importance(Estimator(), rows, truth, scoring=score, n_repeats=5, random_state=0)

    what = "permutation importance, 500 mixed rows:"
    return [
        row(f"{what} a loop over shuffled data frames / `ol.importance`", paired(naive, ours, pairs=7), "at least 1.5"),
        row(f"{what} scikit-learn on the same model / `ol.importance`", paired(scikit, ours, pairs=7), "at least 2"),
    ]


BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "epoch": bench_epoch,
    "fit": bench_fit,
    "export": bench_export,
    "predict_one": bench_predict_one,
    "predict": bench_predict,
    "memory": bench_memory,
    "start": bench_start,
    "importance": bench_importance,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS])
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.names or BENCHMARKS:
        took = seconds(lambda name=name: rows.extend(BENCHMARKS[name]()))
        print(f"{name}: {took:.0f} s", file=sys.stderr)
    print(markdown(rows))
    if options.write:
        write_section(PAGE, "speed", markdown(rows))


if __name__ == "__main__":
    main()
