"""``onnxlearn serve`` under load, beside MLServer with the equivalent scikit-learn pipeline and Triton with the same file.

    python tests/benchmarks/serving.py [--seconds 10] [--minutes 0] [--only NAME]...

Needs wrk (Debian's package), the extras ``serve`` and ``export``, mlserver-sklearn, a model file in the variable ``MODEL`` (or the
extra ``train``), and for Triton the variable ``TRITON`` that names a script: ``$TRITON REPOSITORY HTTP_PORT``. Servers run one
after the other, each with as many processes as there are cores; wrk has to share them. ``--minutes`` adds a run at full load that
watches the memory.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

CLIENTS = (1, 16, 64)
BATCHES = (1, 100)
N_WORKERS = len(os.sched_getaffinity(0))


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies = prepare(folder)
        print(f"{N_WORKERS} cores, wrk for {options.seconds} s each; requests a second, p50 and p99 in milliseconds")
        print("| server | rows | clients | requests/s | rows/s | p50 | p99 | failed |\n| --- " + "| ---: " * 7 + "|")
        for server, start in SERVERS.items():
            if options.only and server not in options.only:
                continue
            process, url, kind = start(folder)
            if process is None:
                print(f"| {server} | not here |")
                continue
            try:
                wait_for(url, bodies[kind, 1])
                for rows in BATCHES:
                    for clients in CLIENTS:
                        print(line(server, rows, clients, wrk(folder, url, bodies[kind, rows], clients, options.seconds)))
                if options.minutes and server == "onnxlearn serve, rows":
                    soak(process.pid, folder, url, bodies[kind, 1], options.minutes)
            finally:
                stop(process)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--only", action="append")
    return parser.parse_args()


def prepare(folder: Path) -> dict[tuple[str, int], bytes]:
    """Model file, scikit-learn pipeline and the bodies of requests, from the penguins."""
    import onnxlearn as ol
    from onnxlearn.wire.tensors import array_tensor

    task = ol.example("penguins")
    if "MODEL" in os.environ:
        model = ol.load(os.environ["MODEL"], provider="cpu")
    else:
        model = ol.learner("mlp", max_epochs=20, seed=0).fit(task)
    model.save(folder / "penguins.onnx")
    features = list(model.schema.feature_names)
    pipeline(task.frame[features], task.frame[task.schema.target.name], folder)
    bodies = {}
    for n in BATCHES:
        frame = task.frame[features].dropna().sample(n, replace=True, random_state=0)
        feeds = ol.wire.feeds.frame_feeds(frame, model.schema)
        tensors = [array_tensor(name, array) for name, array in feeds.items()]
        inputs = [{"name": t.name, "datatype": t.datatype, "shape": list(t.shape), "data": t.values} for t in tensors]
        bodies["tensors", n] = json.dumps({"inputs": inputs}).encode()
        bodies["rows", n] = json.dumps({"rows": json.loads(frame.to_json(orient="records"))}).encode()
        flat = [
            {**one, "shape": [n], "parameters": {"content_type": "str" if one["datatype"] == "BYTES" else "np"}}
            for one in inputs
        ]
        bodies["frame", n] = json.dumps({"parameters": {"content_type": "pd"}, "inputs": flat}).encode()
    return bodies


def pipeline(x: object, y: object, folder: Path) -> None:
    """The same network as a scikit-learn pipeline, as MLServer's runtime for it loads one."""
    import joblib
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    fitted = make_pipeline(columns, MLPClassifier((384, 384, 384), max_iter=20)).fit(x, y)
    place = folder / "sklearn"
    place.mkdir()
    joblib.dump(fitted, place / "model.joblib")
    settings = {"name": "penguins", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"}}
    (place / "model-settings.json").write_text(json.dumps(settings))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def start_ours(folder: Path, address: str, kind: str) -> tuple[subprocess.Popen[bytes], str, str]:
    port = free_port()
    command = [sys.executable, "-m", "onnxlearn_cli", "serve", str(folder / "penguins.onnx"), "--port", str(port)]
    process = run([*command, "--grpc-port", "0", "--workers", str(N_WORKERS)])
    return process, f"http://127.0.0.1:{port}{address}", kind


def start_mlserver(folder: Path) -> tuple[subprocess.Popen[bytes] | None, str, str]:
    port = free_port()
    place = folder / "sklearn"
    settings = {
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": N_WORKERS,
        "debug": False,
    }
    (place / "settings.json").write_text(json.dumps(settings))
    process = run([str(Path(sys.executable).with_name("mlserver")), "start", str(place)])
    return process, f"http://127.0.0.1:{port}/v2/models/penguins/infer", "frame"


def start_triton(folder: Path) -> tuple[subprocess.Popen[bytes] | None, str, str]:
    if "TRITON" not in os.environ:
        return None, "", ""
    import onnxlearn as ol

    repository = folder / "repository"
    ol.load(folder / "penguins.onnx", provider="cpu").export("triton", repository, backend="python", instances=N_WORKERS)
    port = free_port()
    process = run([os.environ["TRITON"], str(repository), str(port)])
    return process, f"http://127.0.0.1:{port}/v2/models/penguins/infer", "tensors"


SERVERS = {
    "onnxlearn serve, rows": lambda folder: start_ours(folder, "/models/penguins/predict", "rows"),
    "onnxlearn serve, tensors": lambda folder: start_ours(folder, "/v2/models/penguins/infer", "tensors"),
    "Triton, Python backend": start_triton,
    "MLServer, scikit-learn": start_mlserver,
}


def run(command: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    log = subprocess.DEVNULL if "LOG" not in os.environ else Path(os.environ["LOG"]).open("ab")  # noqa: SIM115 - the process's
    return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def wait_for(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    for _ in range(120):
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                answer.read()
            time.sleep(3)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 404:
                raise SystemExit(f"{url}: {error.read().decode()}") from error
            time.sleep(1)
        except OSError:
            time.sleep(1)
    raise SystemExit(f"{url} does not answer")


def wrk(folder: Path, url: str, body: bytes, clients: int, seconds: float) -> str:
    script = folder / "request.lua"
    head = "wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\n"
    script.write_text(f"{head}wrk.body = [=[{body.decode()}]=]\n")
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def line(server: str, rows: int, clients: int, told: str) -> str:
    a_second = float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1])
    p50, p99 = (milliseconds(re.search(rf"{share}%\s+(\S+)", told)[1]) for share in (50, 99))
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    speed = f"{a_second:,.0f} | {a_second * rows:,.0f} | {p50:.2f} | {p99:.2f}"
    return f"| {server} | {rows} | {clients} | {speed} | {failed[1] if failed else 0} |"


def milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def soak(parent: int, folder: Path, url: str, body: bytes, minutes: float) -> None:
    """Full load for some minutes: what the processes hold before, in between and after."""
    for part in range(5):
        print(f"after {part / 4 * minutes:g} minutes the processes hold {resident(parent):.0f} MB", flush=True)
        if part < 4:
            wrk(folder, url, body, 64, max(1, round(minutes * 15)))


def resident(parent: int) -> float:
    listed = subprocess.run(["ps", "-o", "rss=", "-g", str(parent)], capture_output=True, text=True, check=True).stdout
    return sum(map(int, listed.split())) / 1024


if __name__ == "__main__":
    main()
