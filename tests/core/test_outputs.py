"""Files appear whole or not at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from onnxlearn.errors import OutputError
from onnxlearn.files.outputs import atomic_folder, atomic_path


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def write_and_raise(target, error):
    with atomic_path(target) as path:
        path.write_bytes(b"half")
        raise error


def test_a_file_appears_at_the_end(tmp_path):
    target = tmp_path / "out.onnx"
    with atomic_path(target) as path:
        path.write_bytes(b"abc")
        assert not target.exists()
        assert path.parent == tmp_path.resolve()
    assert target.read_bytes() == b"abc"
    assert listing(tmp_path) == ["out.onnx"]


def test_an_error_leaves_the_old_file(tmp_path):
    target = tmp_path / "out.onnx"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"):
        write_and_raise(target, RuntimeError("stop"))
    assert target.read_bytes() == b"old"
    assert listing(tmp_path) == ["out.onnx"]


def test_permissions_and_links_stay(tmp_path):
    target, link = tmp_path / "real.csv", tmp_path / "link.csv"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    with atomic_path(link) as path:
        path.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_places_that_cannot_be_written(tmp_path):
    for target, message in (
        (tmp_path / "no" / "out.csv", r"cannot write .*out.csv': there is no folder .*no'; make it first"),
        (tmp_path, "it is a folder; give a file name"),
        (tmp_path / ("x" * 300), "the name is too long"),
    ):
        with pytest.raises(OutputError, match=message), atomic_path(target) as path:
            path.write_bytes(b"x")
    assert listing(tmp_path) == []


def test_no_permission(tmp_path):
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(OutputError, match="no permission to write in"), atomic_path(tmp_path / "out.csv"):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk():
    message = "cannot write '/dev/full': the disk is full; free some space"
    with pytest.raises(OutputError, match=message), atomic_path("/dev/full") as path:
        path.write_bytes(b"x" * 100_000)
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_errors_about_other_files_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError, match="elsewhere"):
        write_and_raise(tmp_path / "out.csv", PermissionError(13, "elsewhere", "/other"))
    assert listing(tmp_path) == []


def test_standard_output():
    code = (
        "from onnxlearn.files.outputs import atomic_folder, atomic_path\n"
        "with atomic_path('-') as p: p.write_bytes(b'a\\nb\\n'); print('first')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"first\na\nb\n"


def test_a_folder_that_is_there_is_filled_and_stays_the_same_one(tmp_path):
    target = tmp_path / "mine"
    target.mkdir()
    inode = target.stat().st_ino
    with atomic_folder(target) as folder:
        (folder / "a.txt").write_text("a")
        (folder / "b").mkdir()
    assert target.stat().st_ino == inode
    assert listing(target) == ["a.txt", "b"]
    assert listing(tmp_path) == ["mine"]
    with pytest.raises(OutputError, match="holds something"), atomic_folder(target):
        raise AssertionError("begun")


def test_an_error_leaves_an_empty_folder_empty(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path) as folder:
        (folder / "no" / "a.txt").write_text("a")
    assert listing(tmp_path) == []


def test_no_folder_to_standard_output():
    with pytest.raises(OutputError, match=r"standard output \(-\): give a folder's name"), atomic_folder("-"):
        raise AssertionError("begun")
