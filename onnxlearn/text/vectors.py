"""Word vectors trained elsewhere, from a text file as GloVe and word2vec write it."""

from __future__ import annotations

import functools
import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxlearn.errors import ParameterError, TableReadError
from onnxlearn.params import read_by, to_json

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class WordVectors:
    """``vectors`` float32 ``[n_words, d]``, zeros where ``found``, bool ``[n_words]``, is false."""

    vectors: Array
    found: Array


@dataclass(frozen=True)
class VectorFile:
    """A file of word vectors, known by what is in it: a model's metadata tells its SHA-256, not its path."""

    path: str

    @classmethod
    def of(cls, what: Any) -> VectorFile:
        """The file at a path. Raises: ParameterError for anything else; TableReadError where it cannot be read."""
        if isinstance(what, VectorFile):
            return what
        if isinstance(what, Mapping) and "sha256" in what:
            raise ParameterError(
                f"text_vectors: a recipe names its file by the digest {what['sha256']}: give the path of the file that has it"
            )
        if not isinstance(what, str | Path):
            raise ParameterError(f"text_vectors takes the path of a file of word vectors, not a {type(what).__qualname__}")
        file = cls(str(what))
        # It is opened now, so that a mistake is known before any training.
        _ = file.d
        return file

    @functools.cached_property
    def d(self) -> int:
        """Numbers of a vector, by the first line."""
        return len(next(_lines(Path(self.path)))[2])

    @functools.cached_property
    def sha256(self) -> str:
        """Of the file."""
        with Path(self.path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@read_by(VectorFile)
def _read(what: Any) -> VectorFile:
    return VectorFile.of(what)


@to_json.register
def _(file: VectorFile) -> dict[str, Any]:
    return {"d": file.d, "sha256": file.sha256}


def read_word_vectors(path: str | Path, words: Sequence[str]) -> WordVectors:
    r"""Read the vectors of these words, those of no other; they are lower-cased, as in ``Vocabulary.words``.

    A line is a word and its numbers, parted by spaces, in UTF-8; a first line of two whole numbers, as word2vec writes it, says
    how many follow. ``.gz`` is unpacked. A word that the file has in another case only ("Paris") takes the first of these.

    Raises: TableReadError, with file and line, where a line has too few numbers, or one that is none or not finite, and where
    fewer words follow than the first line says.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "vectors.txt")
    ...     _ = file.write_text("good 0.5 1\nParis 2 3\n")
    ...     read = read_word_vectors(file, ["paris", "bad"])
    >>> read.vectors.tolist(), read.found.tolist()
    ([[2.0, 3.0], [0.0, 0.0]], [True, False])
    """
    ids = {word: i for i, word in enumerate(words)}
    read: dict[int, Array] = {}
    exact: set[int] = set()
    d = 0
    for where, word, numbers in _lines(Path(path)):
        d = len(numbers)
        i = ids.get(word, ids.get(word.lower()))
        if i is None or i in exact or (i in read and word not in ids):
            continue
        read[i] = _parse(numbers, where)
        if word in ids:
            exact.add(i)
    vectors = np.zeros((len(words), d), np.float32)
    for i, vector in read.items():
        vectors[i] = vector
    return WordVectors(vectors, np.array([i in read for i in range(len(words))], bool))


def _lines(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """File and line number, word and numbers of each line."""
    d = n_said = n_read = 0
    for n, line in _numbered(path):
        where = f"{path}:{n}"
        fields = line.rstrip("\r\n ").split(" ") if not d else line.rstrip("\r\n ").rsplit(" ", d)
        if n == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
            n_said = int(fields[0])
            continue
        if len(fields) < 2 or (d and len(fields) <= d):
            raise TableReadError(
                f"{where}: a line has a word and {d or 'its'} numbers, as the first one has, not {line[:60]!r}"
            )
        # A word may have spaces in it, those of the first line have none.
        d = d or len(fields) - 1
        n_read += 1
        yield where, fields[0], fields[1:]
    if not d:
        raise TableReadError(f"{path} has no word vectors: a line is a word and its numbers, parted by spaces")
    if n_read < n_said:
        raise TableReadError(f"{path} is cut off: its first line says {n_said} words, and {n_read} follow; copy it again")


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    n = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for n, line in enumerate(file, 1):
                # Some editors put a mark before the first line.
                yield n, line.decode("utf-8-sig" if n == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise TableReadError(f"{path}:{n}: the line is not UTF-8: {error.reason} at byte {error.start}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise TableReadError(f"{path}:{n + 1}: the file cannot be read: {error}") from None


def _parse(numbers: list[str], where: str) -> Array:
    try:
        with np.errstate(over="ignore"):
            vector = np.array([float(number) for number in numbers]).astype(np.float32)
    except ValueError as error:
        raise TableReadError(f"{where}: {error}; numbers are parted by single spaces") from None
    if not np.isfinite(vector).all():
        raise TableReadError(f"{where}: a number is not finite in float32")
    return vector
