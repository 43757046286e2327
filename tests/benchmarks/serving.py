"""``onnxlearn serve`` under load, beside MLServer with the equivalent scikit-learn pipeline and Triton with the same file.

    python tests/benchmarks/serving.py [--seconds 10] [--write]
    python tests/benchmarks/serving.py --soak 10 [--write]

Needs wrk (Debian's package); the extras ``serve``, ``export`` and ``train``, or a model file of the penguins in the variable
``MODEL``; mlserver-sklearn; and for Triton the variable ``TRITON``: a script that is called with a repository and the port for
HTTP. All servers run, each with as many processes as there are cores, and wrk asks one at a time, in turn in every cell.
``--soak`` asks for so many minutes at full load and watches the memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from servers import N_CORES, Server, free_port, penguins, run, stop, tensors, wait_for, write_penguins, wrk
from timing import write_section

CLIENTS = (1, 16, 64)
BATCHES = (1, 100)
PAGE = Path(__file__).parents[2] / "docs/benchmarks.md"
Bodies = dict[tuple[str, int], bytes]


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies = prepare(folder)
        text = soak(folder, bodies, options.soak) if options.soak else compare(folder, bodies, options.seconds, options.rounds)
    print(text)
    if options.write:
        write_section(PAGE, "serving over time" if options.soak else "serving", text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3, help="times that each server gets its share of the seconds in a cell")
    parser.add_argument("--soak", type=float, metavar="MINUTES", default=0)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def compare(folder: Path, bodies: Bodies, seconds: float, rounds: int) -> str:
    """Requests a second, and milliseconds of the middle request and of one in a hundred."""
    servers = [server for start in STARTS if (server := start(folder)) is not None]
    lines = [["rows", "clients", *(server.name for server in servers), "ahead"]]
    lines.append(["---:"] * len(lines[0]))
    try:
        for server in servers:
            wait_for(server, bodies[server.kind, 1])
            wrk(folder, server, bodies[server.kind, 1], 16, 2)
        for rows in BATCHES:
            for clients in CLIENTS:
                lines.append(cell(folder, servers, bodies, rows, clients, seconds / rounds, rounds))
                print(lines[-1], file=sys.stderr, flush=True)
    finally:
        for server in servers:
            stop(server.process)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(
    folder: Path, servers: list[Server], bodies: Bodies, rows: int, clients: int, seconds: float, rounds: int
) -> list[str]:
    """One line: for each server the round with the median of requests; how far our slower one is ahead of their faster one."""
    loads = [[wrk(folder, one, bodies[one.kind, rows], clients, seconds) for one in servers] for _ in range(rounds)]
    told = [sorted(of_one, key=lambda load: load.requests)[rounds // 2] for of_one in zip(*loads, strict=True)]
    ours = min(load.requests for load, one in zip(told, servers, strict=True) if one.name.startswith("ours"))
    theirs = max(load.requests for load, one in zip(told, servers, strict=True) if not one.name.startswith("ours"))
    return [str(rows), str(clients), *map(str, told), f"{ours / theirs:.2f}"]


def prepare(folder: Path) -> Bodies:
    """Model file, scikit-learn pipeline and the bodies of requests, from the penguins."""
    import onnxlearn as ol

    file = folder / "penguins.onnx"
    write_penguins(file)
    task = ol.example_task("penguins")
    pipeline(task.frame[list(task.schema.feature_names)], task.frame[task.schema.target.names[0]], folder)
    bodies: Bodies = {}
    for n in BATCHES:
        bodies["tensors", n] = tensors(n, file)
        bodies["rows", n] = json.dumps({"rows": json.loads(penguins(n).to_json(orient="records"))}).encode()
        inputs = json.loads(bodies["tensors", n])["inputs"]
        for one in inputs:
            one |= {"shape": [n], "parameters": {"content_type": "str" if one["datatype"] == "BYTES" else "np"}}
        bodies["frame", n] = json.dumps({"parameters": {"content_type": "pd"}, "inputs": inputs}).encode()
    return bodies


def pipeline(x: object, y: object, folder: Path) -> None:
    """The same network as a scikit-learn pipeline, as MLServer's runtime for it loads one."""
    import joblib
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    fitted = make_pipeline(columns, MLPClassifier((256, 256, 256), max_iter=20)).fit(x, y)
    place = folder / "sklearn"
    place.mkdir()
    joblib.dump(fitted, place / "model.joblib")
    settings = {"name": "penguins", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
    (place / "model-settings.json").write_text(json.dumps(settings))


def start_rows(folder: Path) -> Server:
    process, url = start_ours(folder)
    return Server(name="ours, rows", process=process, url=f"{url}/models/penguins/predict", kind="rows")


def start_tensors(folder: Path) -> Server:
    process, url = start_ours(folder)
    return Server(name="ours, tensors", process=process, url=f"{url}/v2/models/penguins/infer", kind="tensors")


def start_ours(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    port = free_port()
    command = [sys.executable, "-m", "onnxlearn_cli", "serve", folder / "penguins.onnx", "--port", port, "--grpc-port", 0]
    return run([*command, "--workers", N_CORES]), f"http://127.0.0.1:{port}"


def start_triton(folder: Path) -> Server | None:
    if "TRITON" not in os.environ:
        return None
    import onnxlearn as ol

    repository = folder / "repository"
    ol.load(folder / "penguins.onnx", provider="cpu").export("triton", repository, backend="python", instances=N_CORES)
    port = free_port()
    process = run([os.environ["TRITON"], repository, port])
    return Server(name="Triton", process=process, url=f"http://127.0.0.1:{port}/v2/models/penguins/infer", kind="tensors")


def start_mlserver(folder: Path) -> Server:
    place, port = folder / "sklearn", free_port()
    settings = {
        "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "parallel_workers": N_CORES, "debug": False,
        "metrics_dir": str(place),
    }  # fmt: skip
    (place / "settings.json").write_text(json.dumps(settings))
    process = run([Path(sys.executable).with_name("mlserver"), "start", place])
    return Server(name="MLServer", process=process, url=f"http://127.0.0.1:{port}/v2/models/penguins/infer", kind="frame")


STARTS = (start_rows, start_tensors, start_triton, start_mlserver)


def soak(folder: Path, bodies: Bodies, minutes: float) -> str:
    """Memory of all processes together over some minutes of rows, single and a hundred, from 64 clients."""
    server, parts = start_rows(folder), 10
    lines = ["| minutes | memory, MB | requests a second | failed |", "| ---: | ---: | ---: | ---: |"]
    try:
        wait_for(server, bodies["rows", 1])
        lines.append(f"| 0 | {resident(server.process.pid):.0f} | | |")
        for part in range(1, parts + 1):
            loads = [wrk(folder, server, bodies["rows", rows], 64, minutes * 30 / parts) for rows in BATCHES]
            speed = sum(load.requests for load in loads) / 2
            held, failed = resident(server.process.pid), sum(load.failed for load in loads)
            lines.append(f"| {part / parts * minutes:g} | {held:.0f} | {speed:,.0f} | {failed} |")
            print(lines[-1], file=sys.stderr, flush=True)
    finally:
        stop(server.process)
    return "\n".join(lines)


def resident(session: int) -> float:
    listed = subprocess.run(["ps", "-o", "rss=", "-s", str(session)], capture_output=True, text=True, check=True).stdout
    return sum(map(int, listed.split())) / 1024


if __name__ == "__main__":
    main()
