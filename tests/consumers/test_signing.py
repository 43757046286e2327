"""A model file with a signature by Sigstore's model signing, with a key and without a network."""

import os
import shutil
import subprocess

import pytest

import onnxlearn as ol

pytestmark = pytest.mark.consumers


@pytest.fixture
def signing():
    """Sigstore's command."""
    command = os.environ.get("MODEL_SIGNING", "model_signing")
    assert shutil.which(command), "docs/testing.md says how model_signing is installed"

    def run(*arguments):
        return subprocess.run([command, *arguments], capture_output=True, text=True, check=False)

    return run


def test_a_signed_file(signing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ol.learner("featureless").fit(ol.Task.from_file("example:penguins", target="species")).save("m.onnx")
    for line in (
        "openssl ecparam -name prime256v1 -genkey -noout -out signing-key.pem",
        "openssl ec -in signing-key.pem -pubout -out signing-key.pub",
    ):
        subprocess.run(line.split(), check=True, capture_output=True)
    signed = signing("sign", "key", "m.onnx", "--private_key", "signing-key.pem", "--signature", "m.onnx.sig")
    assert signed.returncode == 0, signed.stderr
    check = ("verify", "key", "m.onnx", "--signature", "m.onnx.sig", "--public_key", "signing-key.pub")
    assert signing(*check).returncode == 0
    assert ol.load("m.onnx").verify().ok
    with open("m.onnx", "ab") as file:  # noqa: PTH123 - one byte more
        file.write(b"\0")
    assert signing(*check).returncode != 0
