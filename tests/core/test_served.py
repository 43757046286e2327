"""Folders for servers, as files: what the servers make of them is tested with the servers, in tests/consumers."""

import json
import re
import resource
import sys
from pathlib import Path

import pytest
from small_models import CODES, PRICE, SPECIES, schema_of, small_model

import onnxlearn as ol
from onnxlearn.errors import MissingExtraError, OutputError, ParameterError
from onnxlearn.export import make_target, triton_config
from onnxlearn.export.served import served_name
from onnxlearn.model import Model
from onnxlearn.schema import Schema, Target
from onnxlearn.wire.feeds import require_features


def model_of(target, **roles):
    return Model(small_model(schema_of(target, **roles)), provider="cpu")


@pytest.fixture(scope="module")
def fitted():
    return ol.learner("featureless").fit(ol.example_task("penguins"), progress=False)


def test_the_name_is_part_of_addresses(tmp_path):
    model = model_of(SPECIES)
    assert served_name(model, None) == "small"
    model.schema = Schema(name="Größe (m²)/東京", features=model.schema.features, target=SPECIES)
    assert served_name(model, None) == "Gr_e_m"
    model.schema = Schema(name="東京", features=model.schema.features, target=SPECIES)
    assert served_name(model, None) == "model"
    for name in ("a/b", "", "..", "a b", "-a", "größe"):
        with pytest.raises(ParameterError, match="name is part of addresses"):
            model.export("kserve", tmp_path / "folder", name=name)
    assert not (tmp_path / "folder").exists()


def test_kserve_is_the_file_its_settings_and_a_request(tmp_path):
    model = model_of(CODES)
    told = model.export("kserve", tmp_path / "folder", name="codes-1.0", version=3)
    folder = tmp_path / "folder"
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "model-settings.json", "request.json"}
    assert (folder / "model.onnx").read_bytes() == model.to_bytes()
    settings = json.loads((folder / "model-settings.json").read_text("utf-8"))
    assert settings["name"] == "codes-1.0"
    assert settings["parameters"] == {"uri": "./model.onnx", "version": "3"}
    request = json.loads((folder / "request.json").read_text("utf-8"))
    require_features(model.schema, [given["name"] for given in request["inputs"]])
    assert any("v2/models/codes-1.0/infer" in line for line in told)
    assert any(f"mlserver start {folder}" in line for line in told)


def test_what_is_told_can_be_typed(tmp_path):
    told = model_of(CODES).export("kserve", tmp_path / "my folder")
    assert any(f"mlserver start '{tmp_path}/my folder'" in line for line in told)


def test_the_runtime_that_the_settings_name_is_there():
    from onnxlearn.export.kserve import RUNTIME

    module, _, name = RUNTIME.rpartition(".")
    text = Path(ol.__file__).parent.parent.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8")
    assert f"class {name}(MLModel)" in text


def test_a_triton_repository(tmp_path):
    model = model_of(SPECIES)
    model.export("triton", tmp_path / "folder", name="species", version=4, serve_versions=2, instances=3, max_delay=200)
    folder = tmp_path / "folder" / "species"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "config.pbtxt", "labels.txt", "request.json", "4/model.onnx",
    }  # fmt: skip
    assert (folder / "4" / "model.onnx").read_bytes() == model.to_bytes()
    assert (folder / "labels.txt").read_text("utf-8") == "a\nb\nç\n"
    config = (folder / "config.pbtxt").read_text("utf-8")
    for line in (
        'backend: "onnxruntime"',
        f"max_batch_size: {model.chunk_rows}",
        'input { name: "small" data_type: TYPE_FP32 dims: [ 1 ] }',
        'output { name: "label" data_type: TYPE_STRING dims: [ 1 ] reshape { shape: [ ] } }',
        'output { name: "probabilities" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "labels.txt" }',
        "version_policy { latest { num_versions: 2 } }",
        "dynamic_batching { max_queue_delay_microseconds: 200 }",
        "instance_group [ { count: 3 kind: KIND_CPU } ]",
    ):
        assert line in config.splitlines()


def test_a_repository_gets_newer_versions_and_other_models(tmp_path):
    folder = tmp_path / "folder"
    model_of(SPECIES).export("triton", folder)
    model_of(SPECIES).export("triton", folder, version=2, serve_versions=2)
    model_of(PRICE).export("triton", folder, name="price")
    assert {str(path.relative_to(folder)) for path in folder.glob("*/*")} == {
        *(f"small/{name}" for name in ("1", "2", "config.pbtxt", "labels.txt", "request.json")),
        *(f"price/{name}" for name in ("1", "config.pbtxt", "request.json")),
    }
    assert "num_versions: 2" in (folder / "small" / "config.pbtxt").read_text("utf-8")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for version in (1, 2):
        with pytest.raises(OutputError, match="the repository has version 2 of 'small'; give version=3"):
            model_of(SPECIES).export("triton", folder, version=version)
    with pytest.raises(OutputError, match="those that are there have other columns, outputs or labels; give serve_versions=1"):
        model_of(PRICE).export("triton", folder, version=3, serve_versions=2)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    model_of(PRICE).export("triton", folder, version=3)
    assert not (folder / "small" / "labels.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_folder_of_other_things_is_no_repository(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(OutputError, match="the folder holds something"):
        model_of(SPECIES).export("triton", tmp_path / "mine")


def test_numbers_have_no_labels(tmp_path):
    model_of(PRICE).export("triton", tmp_path / "folder", backend="python")
    folder = tmp_path / "folder" / "small"
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {
        "config.pbtxt",
        "request.json",
        "model.onnx",
        "model.py",
    }
    assert "label" not in (folder / "config.pbtxt").read_text("utf-8")


def test_classes_that_are_no_lines_have_no_file_of_labels(tmp_path):
    classes = Target(names=("y",), type="classification", dtype="str", classes=("a", "b\nc", "d"))
    model_of(classes).export("triton", tmp_path / "folder")
    assert not list((tmp_path / "folder").rglob("labels.txt"))
    assert "label_filename" not in (tmp_path / "folder" / "small" / "config.pbtxt").read_text("utf-8")


def test_an_ensemble_has_a_model_for_each_part(fitted, tmp_path):
    fitted.export("triton", tmp_path / "folder", ensemble=True, device="gpu")
    assert {path.name for path in (tmp_path / "folder").iterdir() if path.is_dir()} == {
        "penguins", "penguins_names_1", "penguins_net_1", "penguins_prep_1",
    }  # fmt: skip
    kinds = {path.parent.name: "KIND_GPU" in path.read_text("utf-8") for path in (tmp_path / "folder").rglob("config.pbtxt")}
    assert [name for name, on_gpu in kinds.items() if on_gpu] == ["penguins_net_1"]


def test_each_version_of_an_ensemble_has_parts_of_its_own(fitted, tmp_path):
    """A server loads one model after the other: parts of two versions would answer together."""
    fitted.export("triton", tmp_path / "folder", ensemble=True)
    parts = {path: path.read_bytes() for path in (tmp_path / "folder").glob("*_1/**/*") if path.is_file()}
    fitted.export("triton", tmp_path / "folder", ensemble=True, version=2)
    assert parts
    assert {path: path.read_bytes() for path in parts} == parts
    steps = (tmp_path / "folder" / "penguins" / "config.pbtxt").read_text("utf-8")
    assert re.findall('step { model_name: "(.*?)"', steps) == ["penguins_prep_2", "penguins_net_2", "penguins_names_2"]
    assert sorted(path.name for path in (tmp_path / "folder" / "penguins").iterdir() if path.is_dir()) == ["1", "2"]


def test_nothing_is_written_beside_a_repository(tmp_path):
    """It may be all of a disk, in a folder that belongs to others; in it, a server takes every folder for a model."""
    folder = tmp_path / "folder"
    model_of(SPECIES).export("triton", folder)
    with make_target("triton", version=2).place(folder) as empty:
        assert list(tmp_path.iterdir()) == [folder]
        assert tmp_path not in empty.parents
        assert [path.name for path in folder.iterdir()] == ["small"]
    assert not empty.exists()


def add_to_a_full_disk(model, repository, **options):
    """The disk gets full when the new files are made, but not yet in the repository."""
    target = make_target("triton", **options)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with target.place(repository) as new:
            target.write(model, new)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_a_repository_as_it_was(tmp_path):
    folder = tmp_path / "folder"
    model = model_of(SPECIES)
    model.export("triton", folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(OutputError, match="folder/small/2': the file would be too large for this disk"):
        add_to_a_full_disk(model, folder, version=2)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in folder.glob("small/*/")] == ["1"]


def test_an_ensemble_serves_its_newest_version(fitted, tmp_path):
    with pytest.raises(ParameterError, match="serve_versions=2 changes nothing with ensemble=True"):
        fitted.export("triton", tmp_path / "folder", ensemble=True, serve_versions=2)


@pytest.mark.parametrize("text", ["plain", 'a "quote"', "back\\slash", "new\nline", "tab\t", "東京 🦜", "\x01"])
def test_texts_are_quoted_as_protobuf_reads_them(text):
    from google.protobuf import text_format
    from google.protobuf.wrappers_pb2 import StringValue

    assert text_format.Parse(f"value: {triton_config.quoted(text)}", StringValue()).value == text


@pytest.mark.parametrize(
    "option",
    [
        {"version": 0}, {"instances": 0}, {"max_batch": 0}, {"max_delay": -1}, {"backend": "trt"},
        # Triton ends at once where a folder is called so, or a config has such a number.
        {"version": 2**63}, {"instances": 2**31}, {"max_batch": 2**31}, {"serve_versions": 2**31}, {"max_delay": 2**64},
    ],
)  # fmt: skip
def test_options_of_triton_have_ranges(option):
    with pytest.raises(ParameterError, match=next(iter(option))):
        make_target("triton", **option)


def test_what_is_not_installed_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'onnxlearn\[mlflow\]'"):
        model_of(PRICE).export("mlflow", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
