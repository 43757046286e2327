"""Where a file runs: time of a call and rows a second for batches of 1 to 1,000,000, a small and a large network.

python tests/benchmarks/providers.py                 a table on stdout
python tests/benchmarks/providers.py --most 10000    of smaller batches alone
python tests/benchmarks/providers.py --write         also into docs/benchmarks.md

Every way that works here is measured: the CPU, CUDA, CUDA with a recorded graph of as many rows as the batch has, TensorRT.
Calls go from ready arrays to outputs, as ``Model.predict`` makes them, in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from datasets import load
from timing import write_section

import onnxlearn as ol
from onnxlearn.errors import ProviderError
from onnxlearn.inference.timing import Work, percentile, time_all
from onnxlearn.inspection.rows import read_rows
from onnxlearn.providers import Provider, gpu_names
from onnxlearn.session import available_cores, say_once
from onnxlearn.wire.feeds import Feeds

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BATCHES = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
# A graph's tensors stay on the device: larger batches are cut.
MOST_GRAPH_ROWS = 32_000
HEAD = ("network", "rows", "CPU", "CUDA", "CUDA graph", "TensorRT")
NETWORKS: Mapping[str, Mapping[str, object]] = {
    "small: 2 layers of 128": {"n_blocks": 2, "d_block": 128},
    "large: 4 layers of 2,048": {"n_blocks": 4, "d_block": 2048},
}


def ways_for(batch: int) -> dict[str, Provider]:
    graph = ol.Cuda(graph_rows=min(batch, MOST_GRAPH_ROWS))
    return {"CPU": "cpu", "CUDA": "cuda", "CUDA graph": graph, "TensorRT": "tensorrt"}


def lines_of(network: str, batches: Sequence[int], seconds: float) -> Iterator[Sequence[str]]:
    table = load("credit_data")
    task = ol.Task.from_frame(table.frame, table.target)
    model = ol.learner("mlp", seed=0, max_epochs=1, **NETWORKS[network]).fit(task, progress=False)
    data, feeds = model.to_bytes(), read_rows(model, task).feeds
    for batch in batches:
        at = np.arange(batch) % task.n_rows
        rows = {name: np.ascontiguousarray(array[at]) for name, array in feeds.items()}
        opened = {way: one for way, provider in ways_for(batch).items() if (one := opened_with(data, provider))}
        works = [work_of(one, rows) for one in opened.values()]
        times = time_all(works, seconds=seconds, on_step=lambda: None)
        told = dict(zip(opened, (cell(found, batch) for found in times), strict=True))
        yield (network if batch == batches[0] else "", f"{batch:,}", *(told.get(way, "") for way in HEAD[2:]))


def opened_with(data: bytes, provider: Provider) -> ol.Model | None:
    try:
        return ol.Model(data, provider=provider)
    except ProviderError as error:
        say_once(str(error))
        return None


def work_of(model: ol.Model, rows: Feeds) -> Work:
    return lambda: contextlib.nullcontext(lambda: model.predict_feeds(rows))


def cell(rounds: Sequence[Sequence[float]], batch: int) -> str:
    """Milliseconds of half and of 99 in 100 calls, and rows a second."""
    calls = [1000 * duration for durations in rounds for duration in durations]
    rest = percentile(calls, 99)
    tail = "" if rest is None else f", {rest:.3g}"
    return f"{np.median(calls):.3g} ms{tail}; {1000 * batch / np.median(calls):,.0f} rows/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=BATCHES[-1], help="rows of the largest batch")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each way and batch")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    options = parser.parse_args()
    rows = [HEAD, ["---", *["---:"] * (len(HEAD) - 1)]]
    for network in NETWORKS:
        for line in lines_of(network, [batch for batch in BATCHES if batch <= options.most], options.seconds):
            print(*line, sep=" | ", file=sys.stderr)
            rows.append(line)
    about = f"On {available_cores()} cores and {', '.join(gpu_names()) or 'no GPU'}:\n\n"
    text = about + "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    print(text)
    if options.write:
        write_section(PAGE, "providers", text)


if __name__ == "__main__":
    main()
