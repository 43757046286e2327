"""Peak memory of ``onnxlearn predict`` over the size of what it reads.

python tests/benchmarks/streaming.py                        tables of 100 MB and of 1 GB, which are made first
python tests/benchmarks/streaming.py --megabytes 10 50      of other sizes
python tests/benchmarks/streaming.py --write                also into docs/benchmarks.md

Each run is a process of its own; its memory and time are what the system tells of it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))
from timing import write_section

if TYPE_CHECKING:
    import pandas as pd

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BLOCK_ROWS = 200_000
FIT = ["fit", "train.csv", "--target", "left", "--learner", "mlp", "--set", "max_epochs=1", "--out", "model.onnx"]


@dataclass(frozen=True, kw_only=True)
class Used:
    """What a process took: peak of its resident memory, seconds of the processor."""

    megabytes: float
    seconds: float


def table(n_rows: int) -> pd.DataFrame:
    """Customers: numbers, texts, a flag and a date."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": np.arange(n_rows),
            "age": rng.integers(18, 90, n_rows),
            "income": rng.normal(3e4, 1e4, n_rows).round(2),
            "balance": rng.normal(0, 1e3, n_rows).round(3),
            "plan": rng.choice(["free", "pro", "team"], n_rows),
            "city": rng.choice([f"city {i}" for i in range(50)], n_rows),
            "active": rng.choice([False, True], n_rows),
            "since": pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 3000, n_rows), "D"),
            "left": rng.choice(["no", "yes"], n_rows),
        }
    )


def make_model(folder: Path) -> None:
    """A model of some of these rows, and a block of them as text."""
    table(2000).to_csv(folder / "train.csv", index=False)
    table(BLOCK_ROWS).to_csv(folder / "block.csv", index=False)
    subprocess.run([sys.executable, "-m", "onnxlearn_cli", *FIT], cwd=folder, check=True, capture_output=True)


def make_csv(folder: Path, path: Path, megabytes: int) -> None:
    """The block's rows again and again."""
    head, _, rows = (folder / "block.csv").read_bytes().partition(b"\n")
    with path.open("wb") as file:
        file.write(head + b"\n")
        while file.tell() < megabytes * 10**6:
            file.write(rows)


def make_csv_folder(folder: Path, path: Path, megabytes: int) -> None:
    """The block as a file, again and again."""
    path.mkdir()
    size = (folder / "block.csv").stat().st_size
    for i in range(-(-megabytes * 10**6 // size)):
        shutil.copy(folder / "block.csv", path / f"{i:04}.csv")


def make_parquet(folder: Path, path: Path, megabytes: int) -> None:
    """As many rows as the CSV file has, in groups of the block's size."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    block = pa.Table.from_pandas(table(BLOCK_ROWS))
    size = (folder / "block.csv").stat().st_size
    with pq.ParquetWriter(path, block.schema) as writer:
        for _ in range(-(-megabytes * 10**6 // size)):
            writer.write_table(block)


FORMS: dict[str, tuple[Callable[[Path, Path, int], None], str, str]] = {
    "one CSV file": (make_csv, "table.csv", "predicted.csv"),
    "a folder of CSV files": (make_csv_folder, "tables", "predicted"),
    "one Parquet file": (make_parquet, "table.parquet", "predicted.parquet"),
}
"""What makes a table, its name, and the name of its predictions."""


def predicted(folder: Path, source: str, target: str) -> Used:
    """One run of the command."""
    command = [sys.executable, "-m", "onnxlearn_cli", "predict", "model.onnx", source, "--keep", "id", "--out", target]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return Used(megabytes=usage.ru_maxrss / 1000, seconds=usage.ru_utime + usage.ru_stime)


def in_another_process(work: Callable[[Path, Path, int], None], *arguments: object) -> None:
    """This one stays small: what it holds when it starts a process would count as that one's peak."""
    from multiprocessing import get_context

    process = get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{work.__name__} failed")


def measure(folder: Path, form: str, megabytes: int) -> Used:
    """Make a table, predict it, and leave nothing of either."""
    make, source, target = FORMS[form]
    in_another_process(make, folder, folder / source, megabytes)
    used = predicted(folder, source, target)
    for path in (folder / source, folder / target):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return used


def lines(sizes: Sequence[int]) -> list[str]:
    """The table of the page."""
    head = ["", *(f"{size:,} MB" for size in sizes), "seconds for each 100 MB"]
    rows = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] + ['---:'] * (len(head) - 1))} |"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        in_another_process(_model, folder, folder, 0)
        for form in FORMS:
            found = [measure(folder, form, size) for size in sizes]
            rate = found[-1].seconds / sizes[-1] * 100
            rows.append(f"| {form} | {' | '.join(f'{used.megabytes:.0f}' for used in found)} | {rate:.1f} |")
            print(rows[-1], flush=True)
    return rows


def _model(folder: Path, _: Path, __: int) -> None:
    make_model(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    text = "\n".join(lines(options.megabytes))
    print(text)
    if options.write:
        write_section(PAGE, "streaming", text)


if __name__ == "__main__":
    main()
