"""Which files are served under which names and versions."""

import pytest

from onnxlearn.errors import ModelFileError
from onnxlearn.serving.sources import find_sources


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.onnx", "b 2.onnx", "many/c.onnx", "many/d/1/model.onnx", "many/d/10/model.onnx", "many/d/2/model.onnx"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    (tmp_path / "many" / "d" / "draft").mkdir()
    (tmp_path / "empty").mkdir()
    return tmp_path


def told(*texts):
    return [(source.name, source.version, source.path.as_posix().rpartition("many/")[2]) for source in find_sources(texts)]


def test_files_and_folders(folder):
    assert [t[:2] for t in told("a.onnx")] == [("a", "1")]
    assert [t[:2] for t in told("birds=a.onnx", "birds:3=b 2.onnx")] == [("birds", "1"), ("birds", "3")]
    assert [t[:2] for t in told("many/d")] == [("d", "1"), ("d", "2"), ("d", "10")]
    assert [t[:2] for t in told("e=many/d")] == [("e", "1"), ("e", "2"), ("e", "10")]
    assert told("many") == [
        ("c", "1", "c.onnx"), ("d", "1", "d/1/model.onnx"), ("d", "2", "d/2/model.onnx"), ("d", "10", "d/10/model.onnx"),
    ]  # fmt: skip


def test_a_path_may_have_an_equals_sign(folder):
    (folder / "lr=1.onnx").write_bytes(b"x")
    with pytest.raises(ModelFileError, match=r"give another one: NAME=lr=1\.onnx"):
        find_sources(["lr=1.onnx"])
    assert [t[:2] for t in told("small=lr=1.onnx")] == [("small", "1")]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["no.onnx"], "there is no model file or folder 'no.onnx'"),
        (["b 2.onnx"], "'b 2' cannot be the name of a model in an address .*; give another one: NAME=b 2.onnx"),
        (["empty"], "the folder 'empty' holds no model: neither"),
        (["x=many"], "the folder 'many' has no versions .* that could be called 'x'"),
        (["x:2=many/d"], "tells the versions itself; leave out ':2'"),
        (["a.onnx", "a=many/c.onnx"], r"are both version 1 of 'a'; give one another name or version: a:2=.*c\.onnx"),
    ],
)
def test_what_cannot_be_served_is_told(folder, texts, message):
    with pytest.raises(ModelFileError, match=message):
        find_sources(texts)


def test_a_stamp_changes_with_the_file(folder):
    (source,) = find_sources(["a.onnx"])
    before = source.stamp()
    assert source.stamp() == before
    source.path.write_bytes(b"longer")
    assert source.stamp() != before
    source.path.unlink()
    with pytest.raises(ModelFileError, match="cannot read the model file"):
        source.stamp()
