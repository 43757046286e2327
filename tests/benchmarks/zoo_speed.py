"""Training time of every learner against its published package, and the time of its export.

python tests/benchmarks/zoo_speed.py                 every learner, a table on stdout
python tests/benchmarks/zoo_speed.py realmlp tabm    some of them
python tests/benchmarks/zoo_speed.py --write         also into docs/benchmarks.md

The same network, rows, epochs and steps on both sides, one thread, CPU seconds, in turn in one process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import pandas as pd
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
import published
from exporting import export_milliseconds, members
from published import N_COLUMNS, Setting, Work
from timing import Row, markdown, paired, row, write_section

import onnxlearn as ol
from onnxlearn.errors import OnnxlearnError
from onnxlearn.registry import learner_infos
from onnxlearn_models.network_learner import NetworkLearner

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A learner and what it is timed against.

    ``reference`` gets our network and gives something to time and the number of parameters that it trains. ``whole``: `fit`
    with rows held out and a proven file in the end, else training alone.
    """

    learner: str
    rival: str
    reference: Callable[[nn.Module, Setting], tuple[Work, int]]
    setting: Setting
    target: str
    params: Mapping[str, object] = field(default_factory=dict)
    whole: bool = False
    pairs: int = 5


LARGE, MIDDLE, SMALL = Setting(20_480, 3, 256), Setting(8_192, 4, 1_024), Setting(1_024, 1, 256)
NEVER_SLOWER = "at most 1"
WITHOUT_NETWORK = {"featureless", "module"}
CASES = [
    Case(learner="mlp", rival="rtdl_revisiting_models in a hand-written loop", reference=published.rtdl_mlp,
         setting=LARGE, target=NEVER_SLOWER, params={"num_embedding": "none"}),
    Case(learner="tab_resnet", rival="rtdl_revisiting_models in a hand-written loop", reference=published.rtdl_resnet,
         setting=LARGE, target=NEVER_SLOWER),
    Case(learner="ft_transformer", rival="rtdl_revisiting_models in a hand-written loop",
         reference=published.rtdl_ft_transformer, setting=SMALL, target=NEVER_SLOWER),
    Case(learner="tabnet", rival="pytorch_tabnet", reference=published.pytorch_tabnet, setting=MIDDLE, target=NEVER_SLOWER),
    Case(learner="realmlp", rival="pytabkit, whole `fit`", reference=published.pytabkit_realmlp,
         setting=Setting(3_563, 256, 256), target="at most 0.5", params={"validation": 0.2}, whole=True, pairs=3),
    Case(learner="tabm", rival="the tabm package in a hand-written loop", reference=published.tabm_package, setting=SMALL,
         target=NEVER_SLOWER, params={"num_embedding": "none"}),
    Case(learner="tabm", rival="its matrix products alone", reference=published.matrix_products, setting=SMALL,
         target="at most 1.1", params={"num_embedding": "none"}),
]  # fmt: skip


def task_of(setting: Setting) -> ol.Task:
    x, y = setting.rows()
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(N_COLUMNS)])
    return ol.Task.from_frame(frame.assign(y=y), "y", type="classification")


def timed(case: Case) -> Row:
    """The ratios of a learner. Raises: ValueError where the other side trains another network."""
    setting, task = case.setting, task_of(case.setting)
    learner = ol.learner(case.learner, max_epochs=setting.n_epochs, batch_size=setting.batch_size, patience=None, **case.params)
    assert isinstance(learner, NetworkLearner)

    def ours() -> None:
        if case.whole:
            learner.fit(task, progress=False)
        else:
            learner.train(task, None, progress=False)

    fitted = learner.train(task, None, progress=False)
    # What is trained: the network of the file may have been pruned, or had parts of it folded into others.
    config, _ = learner.choose(learner.configs[0], learner.configs[2], task.schema, task.n_rows)
    module = learner.build(fitted.preprocessing.schema.for_network(fitted.head.width), config)
    reference, n_parameters = case.reference(module, setting)
    # Not exactly the same: some have an affine map somewhere that the next layer could do as well.
    if abs(n_parameters / published.count(module) - 1) > 0.01:
        raise ValueError(f"{published.count(module)} parameters against {n_parameters}: not the same network")
    ratios = paired(ours, reference, case.pairs, clock=time.process_time)
    scale = f"{setting.n_rows:,} x {N_COLUMNS}, batch {setting.batch_size:,}"
    return row(f"`{case.learner}` / {case.rival}, {scale}", ratios, case.target)


def exported(name: str) -> Row | None:
    """The warm export of a learner; none where it trains no network, or has to be given one."""
    if name in WITHOUT_NETWORK:
        return None
    learner = ol.learner(name, max_epochs=1)
    n = len(members(learner))
    what = f"export of a fitted `{name}`" + (f" of {n} networks" if n > 1 else "")
    return row(f"{what}, warm", export_milliseconds(learner, runs=9), "at most 100 ms" if n == 1 else "", "ms")


def measure(names: list[str]) -> list[Row]:
    """Rows of what can be measured; the rest is told on stderr."""
    works: list[tuple[str, Callable[[], Row | None]]] = []
    works += [(f"{case.learner} / {case.rival}", lambda case=case: timed(case)) for case in CASES if case.learner in names]
    works += [(f"export of {name}", lambda name=name: exported(name)) for name in names]
    rows = []
    for what, work in works:
        try:
            found = work()
        except (ImportError, OnnxlearnError, ValueError) as error:
            print(f"{what}: {error}", file=sys.stderr)
            continue
        if found is not None:
            print(*found.cells, file=sys.stderr, sep=" | ")
            rows.append(found)
    return rows


def main() -> None:
    names = list(learner_infos())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *names])
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the packages
    text = markdown(measure(options.names or names))
    print(text)
    if options.write:
        write_section(PAGE, "zoo", text)


if __name__ == "__main__":
    main()
