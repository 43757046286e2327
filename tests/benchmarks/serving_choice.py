"""Model servers in Python with the same file in one process each: what they answer in a second, and what they weigh.

    python tests/benchmarks/serving_choice.py kserve=PYTHON mlserver=PYTHON litserve=PYTHON ray=PYTHON ours=PYTHON [--seconds 9]

Each ``PYTHON`` is the interpreter of an environment with that server and onnxruntime: ``pip install kserve onnxruntime``,
``mlserver``, ``litserve``, ``'ray[serve]'``, or ``'onnxlearn[serve]'``. wrk asks for one row and for a hundred, by 16 clients.
The weight is that of ``site-packages`` without pip and setuptools, and of ONNX Runtime with what that needs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from servers import Load, Server, free_port, run, stop, tensors, wait_for, write_penguins, wrk

APPS = Path(__file__).parent / "served"
PACKAGES = {"kserve": "kserve", "mlserver": "mlserver", "litserve": "litserve", "ray": "ray", "ours": "onnxlearn"}
CLIENTS = 16


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("servers", nargs="+", metavar="NAME=PYTHON")
    parser.add_argument("--seconds", type=float, default=9)
    options = parser.parse_args()
    pythons = dict(text.split("=", 1) for text in options.servers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_penguins(folder / "penguins.onnx")
        bodies = {rows: tensors(rows, folder / "penguins.onnx") for rows in (1, 100)}
        print("| server | version | MB | 1 row | 100 rows |\n| --- | --- | ---: | ---: | ---: |")
        for server, python in pythons.items():
            loads = measured(server, python, folder, bodies, options.seconds)
            cells = [server, version(python, PACKAGES[server]), f"{weight(python):.0f}", *map(str, loads)]
            print("| " + " | ".join(cells) + " |", flush=True)


def measured(name: str, python: str, folder: Path, bodies: dict[int, bytes], seconds: float) -> list[Load]:
    server = start(name, python, folder)
    try:
        wait_for(server, bodies[1])
        wrk(folder, server, bodies[1], CLIENTS, 2)
        return [wrk(folder, server, body, CLIENTS, seconds) for body in bodies.values()]
    finally:
        stop(server.process)


def start(name: str, python: str, folder: Path) -> Server:
    port = free_port()
    command: list[object] = [python, APPS / f"by_{name}.py"]
    url = f"http://127.0.0.1:{port}/v2/models/penguins/infer"
    if name == "ours":
        command = [python, "-m", "onnxlearn_cli", "serve", folder / "penguins.onnx", "--port", port, "--grpc-port", 0]
        command += ["--workers", 1]
    elif name == "mlserver":
        command = [Path(python).with_name("mlserver"), "start", mlserver_folder(folder, port)]
    elif name in ("litserve", "ray"):
        url = f"http://127.0.0.1:{port}{'/predict' if name == 'litserve' else '/'}"
    process = run(command, PORT=str(port), MODEL=str(folder / "penguins.onnx"))
    return Server(name=name, process=process, url=url, kind="tensors")


def mlserver_folder(folder: Path, port: int) -> Path:
    place = folder / "mlserver"
    place.mkdir()
    for app in APPS.glob("by_*.py"):
        shutil.copy(app, place)
    settings = {
        "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "parallel_workers": 0, "debug": False,
        "metrics_dir": str(place),
    }  # fmt: skip
    (place / "settings.json").write_text(json.dumps(settings))
    (place / "model-settings.json").write_text(json.dumps({"name": "penguins", "implementation": "by_mlserver.Penguins"}))
    return place


def version(python: str, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def weight(python: str) -> float:
    """Megabytes of what is installed, from what the packages record."""
    code = (
        "import importlib.metadata as m\n"
        "files = {f.locate() for d in m.distributions() if d.name not in ('pip', 'setuptools') for f in d.files or ()}\n"
        "print(sum(f.stat().st_size for f in files if f.is_file()))"
    )
    return int(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout) / 1e6


if __name__ == "__main__":
    main()
