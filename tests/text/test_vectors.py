"""Word vectors of a text file."""

import gzip

import pytest

from onnxlearn.errors import TableReadError
from onnxlearn.text.vectors import read_word_vectors

GLOVE = "good 1 2\nbad -3 4e-1\n. . . 5 6\n"


@pytest.mark.parametrize("content", [GLOVE, "3 2\n" + GLOVE, GLOVE.replace("\n", " \r\n")])
@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz"])
def test_reads_the_words_asked_for(tmp_path, content, name):
    file = tmp_path / name
    file.write_bytes(gzip.compress(content.encode(), mtime=0) if name.endswith("gz") else content.encode())
    read = read_word_vectors(file, ["bad", "no", ". . ."])
    assert read.vectors.tolist() == [[-3, pytest.approx(0.4)], [0, 0], [5, 6]]
    assert read.found.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("content", "vector"),
    [("A 1\na 2\nA 3\na 4\n", 2), ("Us 1\nUS 2\n", 1), ("US 1\nus 2\n", 2)],
)
def test_the_word_itself_goes_before_another_case_and_the_first_before_the_next(tmp_path, content, vector):
    (tmp_path / "v.txt").write_text(content)
    assert read_word_vectors(tmp_path / "v.txt", ["a", "us"]).vectors.sum() == vector


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good 1 2\nbad 1\n", r"v\.txt:2: .*2 numbers.*'bad 1"),
        (b"good 1 2\nbad 1 x\n", r"v\.txt:2: .*'x'"),
        (b"good 1 2\nbad 1 nan\n", r"v\.txt:2: .*not finite"),
        (b"good 1 2\nbad 1 1e39\n", r"v\.txt:2: .*not finite"),
        (b"good 1 2\nb\xffd 1 2\n", r"v\.txt:2: .*UTF-8"),
        (b"good 1 2\n\n", r"v\.txt:2: "),
        (b"good\n", r"v\.txt:1: "),
        (b"", r"v\.txt has no word vectors"),
        (b"3 2\n", r"v\.txt has no word vectors"),
        (b"3 2\nbad 1 2\ngood 1 2\n", r"v\.txt is cut off: its first line says 3 words, and 2 follow"),
    ],
)
def test_a_damaged_file_is_refused_with_the_line(tmp_path, content, message):
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(TableReadError, match=message):
        read_word_vectors(tmp_path / "v.txt", ["bad"])


@pytest.mark.parametrize("content", [gzip.compress(GLOVE.encode() * 99, mtime=0)[:-20], b"good 1 2\n"])
def test_a_truncated_archive_is_refused(tmp_path, content):
    (tmp_path / "v.txt.gz").write_bytes(content)
    with pytest.raises(TableReadError, match=r"v\.txt\.gz:\d+: the file cannot be read"):
        read_word_vectors(tmp_path / "v.txt.gz", ["bad"])


def test_a_mark_before_the_first_line_is_none_of_the_word(tmp_path):
    (tmp_path / "v.txt").write_bytes(b"\xef\xbb\xbfbad 1 2\n")
    assert read_word_vectors(tmp_path / "v.txt", ["bad"]).found.all()


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(TableReadError, match="cannot be read"):
        read_word_vectors(tmp_path / "v.txt", ["bad"])
