"""``onnxlearn serve`` over time: files that change, processes that die, and its end."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from serve_process import GOOD_ROW, Server, everywhere, until
from small_models import BOOLEAN, CODES, PRICE, SPECIES, schema_of, small_model

pytestmark = pytest.mark.consumers


def test_models_are_unloaded_and_loaded_in_every_process(server):
    assert server.post("/v2/repository/models/code/unload", {})[0] == 200
    until(lambda: everywhere(server, "/v2/models/code", 404))
    assert server.post("/v2/repository/models/code/load", {})[0] == 200
    until(lambda: everywhere(server, "/v2/models/code", 200))


def test_changed_files_are_loaded_and_broken_ones_are_not(models, tmp_path):
    file = tmp_path / "m.onnx"
    file.write_bytes(small_model(schema_of(PRICE)))
    running = Server(file, "--workers", 2, "--check-seconds", 0.2, cwd=tmp_path)
    try:
        until(lambda: everywhere(running, "/v2/models/m", 200))
        assert "prediction" in running.post("/models/m/predict", {"rows": [GOOD_ROW]})[1]["predictions"][0]
        file.write_bytes(small_model(schema_of(SPECIES))[:-500])
        time.sleep(1)
        assert everywhere(running, "/v2/models/m", 200)
        # A process that begins now has the model all the same.
        old = running.workers()
        os.kill(old[0], signal.SIGKILL)
        until(lambda: len(running.workers()) == 2 and old[0] not in running.workers())
        time.sleep(5)
        assert everywhere(running, "/v2/models/m", 200)
        file.write_bytes(small_model(schema_of(SPECIES)))
        until(
            lambda: all(
                "label" in running.post("/models/m/predict", {"rows": [GOOD_ROW]})[1]["predictions"][0] for _ in range(20)
            )
        )
        assert running.post("/v2/repository/models/m/unload", {})[0] == 403
    finally:
        assert running.stop() == 0


def test_what_cannot_be_loaded_is_told_to_whoever_asked_for_it(tmp_path):
    file = tmp_path / "m.onnx"
    file.write_bytes(small_model(schema_of(PRICE)))
    running = Server(file, "--workers", 1, "--control", "--check-seconds", 0, cwd=tmp_path)
    try:
        load = "/v2/repository/models/m/load"
        file.write_bytes(small_model(schema_of(SPECIES))[:-500])
        status, answer = running.post(load, {})
        assert status == 400
        assert "is cut off or damaged" in answer["error"]
        file.unlink()
        for path in (load, "/v2/repository/index"):
            status, answer = running.post(path, {})
            assert status == 503
            assert "there is no model file" in answer["error"]
        assert "prediction" in running.post("/models/m/predict", {"rows": [GOOD_ROW]})[1]["predictions"][0]
        file.write_bytes(small_model(schema_of(SPECIES)))
        assert running.post(load, {}) == (200, {})
        assert "label" in running.post("/models/m/predict", {"rows": [GOOD_ROW]})[1]["predictions"][0]
    finally:
        assert running.stop() == 0


def test_versions_have_addresses_and_new_ones_appear(tmp_path):
    for version, target in (("2", CODES), ("10", BOOLEAN)):
        folder = tmp_path / "bird" / version
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(small_model(schema_of(target)))
    running = Server(tmp_path / "bird", "--workers", 1, "--check-seconds", 0.2, cwd=tmp_path)
    try:

        def label(path):
            return running.post(path, {"rows": [GOOD_ROW]})[1]["predictions"][0]["label"]

        assert label("/models/bird/predict") is label("/models/bird/versions/10/predict")
        assert label("/models/bird/versions/2/predict") in (10, 20)
        (tmp_path / "bird" / "11").mkdir()
        (tmp_path / "bird" / "11" / "model.onnx").write_bytes(small_model(schema_of(SPECIES)))
        until(lambda: label("/models/bird/predict") in ("a", "b", "ç"))
        (tmp_path / "bird" / "11" / "model.onnx").unlink()
        until(lambda: isinstance(label("/models/bird/predict"), bool))
    finally:
        assert running.stop() == 0


def test_killed_workers_lose_only_what_they_were_doing(tmp_path):
    (tmp_path / "m.onnx").write_bytes(small_model(schema_of(PRICE)))
    running = Server(tmp_path / "m.onnx", "--workers", 2, cwd=tmp_path)
    body = json.dumps({"rows": [GOOD_ROW]}).encode()
    done, failed, stop = [], [], threading.Event()

    def client():
        while not stop.is_set():
            try:
                done.append(running.request("POST", "/models/m/predict", body, timeout=60)[0])
            except (OSError, http.client.HTTPException) as error:
                failed.append(error)

    threads = [threading.Thread(target=client) for _ in range(8)]
    try:
        for thread in threads:
            thread.start()
        kills = 5
        for _ in range(kills):
            until(lambda: len(running.workers()) == 2)
            time.sleep(1)
            os.kill(random.choice(running.workers()), signal.SIGKILL)
            time.sleep(1)
        until(lambda: len(running.workers()) == 2)
        stop.set()
        for thread in threads:
            thread.join()
        assert set(done) == {200}
        # At most what all clients had in flight at each kill.
        assert len(failed) <= kills * len(threads), failed
        assert len(done) > 100
    finally:
        stop.set()
        assert running.stop() == 0


def test_what_has_begun_is_answered_when_the_server_is_stopped(tmp_path):
    (tmp_path / "m.onnx").write_bytes(small_model(schema_of(PRICE)))
    running = Server(tmp_path / "m.onnx", "--workers", 1, cwd=tmp_path)
    body = json.dumps({"rows": [GOOD_ROW] * 1000}).encode()
    with socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(f"POST /models/m/predict HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body[:1000])
        time.sleep(0.5)
        running.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        raw.sendall(body[1000:])
        raw.settimeout(20)
        assert raw.recv(20).startswith(b"HTTP/1.1 200")
    assert running.stop() == 0


def test_all_requests_that_were_sent_are_answered_when_the_server_is_stopped(tmp_path):
    (tmp_path / "m.onnx").write_bytes(small_model(schema_of(PRICE)))
    running = Server(tmp_path / "m.onnx", "--workers", 2, cwd=tmp_path)
    body = json.dumps({"rows": [GOOD_ROW] * 500}).encode()
    answered, lost = [], []

    def client():
        while True:
            begun = time.monotonic()
            try:
                answered.append(running.request("POST", "/models/m/predict", body, timeout=60)[0])
            except (OSError, http.client.HTTPException):
                lost.append(begun)
                return

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    stopped = time.monotonic()
    assert running.stop() == 0
    for thread in threads:
        thread.join()
    assert set(answered) == {200}
    assert len(answered) > 20
    # What comes after it is refused; what came before, however shortly, has its answer.
    assert min(lost) > stopped - 0.05


def test_ctrl_c_ends_it_without_a_trace(tmp_path):
    (tmp_path / "m.onnx").write_bytes(small_model(schema_of(PRICE)))
    running = Server(tmp_path / "m.onnx", "--workers", 2, cwd=tmp_path)
    assert running.post("/models/m/predict", {"rows": [GOOD_ROW]})[0] == 200
    # As a terminal does: to every process of the group.
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.process.wait(30) == 0
    assert "Traceback" not in running.log.read_text()
    assert "KeyboardInterrupt" not in running.log.read_text()


def test_a_file_that_is_gone_leaves_its_model_even_to_new_processes(tmp_path):
    (tmp_path / "m.onnx").write_bytes(small_model(schema_of(PRICE)))
    running = Server(tmp_path / "m.onnx", "--workers", 2, "--check-seconds", 0.2, cwd=tmp_path)
    try:
        (tmp_path / "m.onnx").unlink()
        old = running.workers()
        os.kill(old[0], signal.SIGKILL)
        until(lambda: len(running.workers()) == 2 and old[0] not in running.workers())
        time.sleep(5)
        assert everywhere(running, "/v2/models/m", 200)
        # Told once by each process, not at every look.
        assert running.log.read_text().count("the models stay as they are") <= 4
        (tmp_path / "m.onnx").write_bytes(small_model(schema_of(SPECIES)))
        until(
            lambda: all(
                "label" in running.post("/models/m/predict", {"rows": [GOOD_ROW]})[1]["predictions"][0] for _ in range(20)
            )
        )
    finally:
        assert running.stop() == 0


def test_what_cannot_be_served_is_told_before_anything_starts(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    (tmp_path / "m.onnx").write_bytes(small_model(schema_of(PRICE)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, text in (
            (["nothing.onnx"], "there is no model file or folder"),
            (["broken.onnx"], "is not an ONNX model"),
            (["m.onnx", "--port", str(port)], f"cannot listen on 127.0.0.1:{port}"),
            (["m.onnx", "--grpc-port", str(port)], f"cannot listen on 127.0.0.1:{port}"),
        ):
            command = [sys.executable, "-m", "onnxlearn_cli", "serve", *arguments]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 2, done.stderr
            assert text in done.stderr
