"""What fp16 and int8 cost and bring: size, speed on a processor and measures of four models, by their files.

python tests/benchmarks/conversions.py             a table on stdout; minutes of training
python tests/benchmarks/conversions.py mlp         of some learners
python tests/benchmarks/conversions.py --write     also into docs/benchmarks.md

A quarter of the rows of each table is kept from training and tells the measures. Ranges of int8 with fixed ones are found on
1,000 rows of the training. Files are called in turn, on one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from datasets import load
from timing import write_section

import onnxlearn as ol
from onnxlearn.errors import OnnxlearnError
from onnxlearn.export.cost import Cost, cost_of
from onnxlearn.inspection.rows import read_rows

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
WAYS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "`fp16`": ("fp16", {}),
    "`int8`": ("int8", {}),
    "`int8`, `mode=static`": ("int8", {"mode": "static"}),
}
HEAD = ("model", "form", "MB", "1 row", "1,000 rows", "measures", "refused by default")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A learner, the table it learns from and the measures that are shown."""

    learner: str
    data: str
    measures: tuple[str, ...]
    params: Mapping[str, object] = field(default_factory=dict)


CASES = (
    Case(learner="mlp", data="credit_data", measures=("acc", "logloss", "auc")),
    # Fewer epochs than by default, for the time it takes: what rounding costs is not about the last digit of a score.
    Case(learner="realmlp", data="diamonds", measures=("rmse", "mae", "r2"), params={"max_epochs": 16}),
    Case(learner="tabm", data="ames", measures=("rmse", "mae", "r2"), params={"max_epochs": 8}),
    Case(learner="ft_transformer", data="wa_churn", measures=("acc", "logloss", "auc"), params={"max_epochs": 5}),
)


def lines_of(case: Case, seconds: float) -> Iterator[Sequence[str]]:
    """Rows of the table: the model as it is, then each of its forms."""
    table = load(case.data)
    rest, test = ol.Task.from_frame(table.frame, table.target).split(0.25, seed=0)
    model = ol.learner(case.learner, seed=0, **case.params).fit(rest, progress=False)
    rows = read_rows(model, test)
    calibration = rest.frame.sample(1000, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        for i, (shown, (to, options)) in enumerate(WAYS.items()):
            given = {**options, **({"calibration": calibration} if options else {})}
            path = Path(folder, f"{i}.onnx")
            model.export(to, path, data=test, force=True, seconds=0, **given)
            cost = cost_of(model, ol.load(path, provider="cpu"), rows, seconds=seconds)
            if i == 0:
                yield (f"`{case.learner}`, {case.data}", "the model", *_cells(case, cost, after=False), "")
            yield ("", shown, *_cells(case, cost, after=True), _refused(model, to, path, {**given, "data": test}))


def _cells(case: Case, cost: Cost, *, after: bool) -> list[str]:
    """Size, both speeds and the measures of the model; of another form what these are of the model's, and what changed."""
    n_bytes = cost.n_bytes[after] / 1e6
    cells = [f"{n_bytes:.2f}" + (f" ({n_bytes / cost.n_bytes[0] * 1e6:.2f})" if after else "")]
    cells += [f"{speed.after / speed.before:.2f}" if after else f"{speed.before:.3g} ms" for speed in cost.speeds]
    scores = {score.measure: score for score in cost.scores}
    shown = [(name, scores[name]) for name in case.measures]
    texts = [f"{name} {score.change:+.2g}" if after else f"{name} {score.before:.5g}" for name, score in shown]
    return [*cells, ", ".join(texts)]


def _refused(model: ol.Model, to: str, path: Path, options: Mapping[str, object]) -> str:
    try:
        model.export(to, path.with_suffix(".again.onnx"), seconds=0, **options)
    except OnnxlearnError:
        return "yes"
    return "no"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *(case.learner for case in CASES)])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each file and size of batch")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    rows = [HEAD, ["---"] * len(HEAD)]
    for case in CASES:
        if case.learner in (options.names or [case.learner]):
            for line in lines_of(case, options.seconds):
                print(*line, sep=" | ", file=sys.stderr)
                rows.append(line)
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    print(text)
    if options.write:
        write_section(PAGE, "conversions", text)


if __name__ == "__main__":
    main()
