"""Paired timing: two things in turn, the ratio of every pair, the median of the ratios."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: what was compared, the figure, what it has to be."""

    what: str
    figure: float
    spread: tuple[float, float]
    unit: str
    target: str

    @property
    def cells(self) -> list[str]:
        low, high = self.spread
        return [self.what, f"{self.figure:.3g} {self.unit}".strip(), f"{low:.3g} to {high:.3g}", self.target]


def row(what: str, values: Sequence[float], target: str, unit: str = "") -> Row:
    return Row(what=what, figure=statistics.median(values), spread=(min(values), max(values)), unit=unit, target=target)


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    start = clock()
    work()
    return clock() - start


def paired(
    ours: Callable[[], object],
    reference: Callable[[], object],
    pairs: int,
    clock: Callable[[], float] = time.perf_counter,
    warm_up: int = 1,
) -> list[float]:
    """Ratios ours / reference of ``pairs`` interleaved pairs, after ``warm_up`` uncounted ones."""
    ratios = [seconds(ours, clock) / seconds(reference, clock) for _ in range(pairs + warm_up)]
    return ratios[warm_up:]


def process(*command: str, cwd: Path | None = None) -> Callable[[], object]:
    """A whole process, start to end, as something to time."""
    return lambda: subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def cpu_of_process(*command: str) -> float:
    """User and system CPU seconds of one process."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process(*command)()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def script(name: str) -> str:
    """Path of the installed command, beside the interpreter."""
    return str(Path(sys.executable).with_name(name))


def markdown(rows: Sequence[Row], figure: str = "median") -> str:
    head = ["what", figure, "spread", "target"]
    lines = [head, ["---"] * len(head), *(row.cells for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def write_section(path: Path, marker: str, text: str) -> None:
    """Replace what stands between ``<!-- marker -->`` and ``<!-- /marker -->``."""
    page = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {marker} -->\n", f"<!-- /{marker} -->"
    if begin not in page or end not in page:
        raise SystemExit(f"{path} has no section {marker!r}")
    head, rest = page.split(begin, 1)
    path.write_text(head + begin + text + "\n" + rest[rest.index(end) :], encoding="utf-8")
