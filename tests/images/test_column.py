"""A column is read by batches, in processes, with a bounded number of rows at a time; broken rows by the policy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import pixels, png

from onnxlearn.errors import DataError, ImageReadError, ParameterError
from onnxlearn.images.column import ImageColumn
from onnxlearn.images.readers import Readers


class Counted(list[Any]):
    """Cells that count how many of them were taken."""

    taken = 0

    def __getitem__(self, row: Any) -> Any:
        self.taken += 1
        return super().__getitem__(row)


def cells(n: int) -> list[np.ndarray[Any, np.dtype[Any]]]:
    return [pixels(2 + i % 3, 3, seed=i) for i in range(n)]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_batches_are_in_order(tmp_path: Path, n_jobs: int) -> None:
    arrays = cells(10)
    for i, array in enumerate(arrays):
        (tmp_path / f"{i}.png").write_bytes(png(array))
    column = ImageColumn(name="photo", cells=[f"{i}.png" for i in range(10)], folder=tmp_path)
    rows = [[9, 0], [], [3, 3, 1], [5]]
    found = list(column.batches(rows, n_jobs=n_jobs))
    assert [batch.rows.tolist() for batch in found] == rows
    for batch in found:
        assert batch.sizes.tolist() == [list(arrays[row].shape[:2]) for row in batch.rows]
        for row, image in zip(batch.rows, batch.images, strict=True):
            np.testing.assert_array_equal(image, arrays[row])


def test_little_is_read_ahead() -> None:
    column = ImageColumn(name="photo", cells=(taken := Counted(cells(200))))
    batches = column.batches(([i, i + 1] for i in range(0, 200, 2)), n_jobs=2, n_ahead=2)
    for i, _ in enumerate(batches):
        assert taken.taken <= 2 * (i + 4)
        if i == 20:
            break
    batches.close()  # type: ignore[attr-defined]
    assert taken.taken <= 2 * 24


def test_parquet_as_hugging_face_writes_it(tmp_path: Path) -> None:
    arrays = cells(4)
    structs = [{"bytes": png(array), "path": f"{i}.png"} for i, array in enumerate(arrays)]
    pq.write_table(pa.table({"image": [*structs, None]}), tmp_path / "images.parquet")
    table = pq.read_table(tmp_path / "images.parquet")
    for column_cells in (table["image"], pd.read_parquet(tmp_path / "images.parquet")["image"].array):
        batch = ImageColumn(name="image", cells=column_cells, missing_size=(5, 6)).read(range(5))
        assert batch.missing.tolist() == [False] * 4 + [True]
        np.testing.assert_array_equal(batch.images[2], arrays[2])
        assert batch.images[4].shape == (5, 6, 3)
        assert (batch.problems, batch.remarks) == ((), ())


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_policies(tmp_path: Path, n_jobs: int) -> None:
    (tmp_path / "cut.png").write_bytes(png(pixels(30, 30))[:100])
    column = {"name": "photo", "cells": [pixels(2, 2), "cut.png", None, "gone.png"], "folder": tmp_path}
    with pytest.raises(ImageReadError, match=r"^column 'photo', row 1, 'cut.png': the file is damaged \(.*\): replace it$"):
        list(ImageColumn(**column).batches([[0, 1, 2, 3]], n_jobs=n_jobs))
    (missing,) = ImageColumn(**column, policy="missing").batches([[0, 1, 2, 3]], n_jobs=n_jobs)
    assert missing.rows.tolist() == [0, 1, 2, 3]
    assert missing.missing.tolist() == [False, True, True, True]
    (skip,) = ImageColumn(**column, policy="skip").batches([[0, 1, 2, 3]], n_jobs=n_jobs)
    assert skip.rows.tolist() == [0, 2]
    assert skip.missing.tolist() == [False, True]
    assert skip.problems == missing.problems
    assert [problem.row for problem in skip.problems] == [1, 3]
    assert "row 3, 'gone.png': there is no file" in skip.problems[1].text


def test_a_black_image_is_told() -> None:
    batch = ImageColumn(name="photo", cells=[pixels(2, 2), np.zeros((3, 3, 3), np.uint8), None]).read([2, 1, 0])
    (remark,) = batch.remarks
    assert (remark.what, remark.where) == (
        "images that are black throughout, which counts as missing", "column 'photo', row 1, array",
    )  # fmt: skip
    assert batch.missing.tolist() == [True, True, False]


def test_what_cannot_be_asked_for() -> None:
    column = ImageColumn(name="photo", cells=cells(3))
    with pytest.raises(DataError, match="column 'photo' has rows 0 to 2, not -1"):
        column.read([0, -1])
    with pytest.raises(ParameterError, match="at least 1, not 0 and 2"):
        column.batches([[0]], n_jobs=0)
    with pytest.raises(ParameterError, match="policy is one of error, skip, missing, not 'drop'"):
        ImageColumn(name="photo", cells=[], policy="drop")  # type: ignore[arg-type]


class Deadly:
    """A cell that ends the process that is sent it, as a lack of memory does."""

    def __reduce__(self) -> Any:
        return os._exit, (9,)


def test_a_process_that_is_ended_is_told() -> None:
    column = ImageColumn(name="photo", cells=[pixels(2, 2), Deadly()])
    with pytest.raises(
        DataError, match="a process that decodes images was ended, by lack of memory as a rule: fewer processes"
    ):
        list(column.batches([[0], [1]], n_jobs=2))
    # The next ones are decoded by new processes.
    assert [batch.rows.tolist() for batch in column.batches([[0], [0]], n_jobs=2)] == [[0], [0]]


def test_without_pillow_the_way_out_is_said() -> None:
    code = """
import sys
sys.modules["PIL"] = None
from onnxlearn.errors import MissingExtraError
from onnxlearn.images.reading import read_image
try:
    read_image(b"x")
except MissingExtraError as error:
    assert str(error) == "reading images needs the package pillow: pip install 'onnxlearn[images]'", error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_others_may_use_joblib_afterwards() -> None:
    column = ImageColumn(name="photo", cells=[png(pixels(3, 4))] * 4)
    assert sum(len(batch.images) for batch in column.batches([[0, 1], [2, 3]], n_jobs=2)) == 4
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(-i) for i in range(3)) == [0, 1, 2]


def test_one_pool_reads_several_columns() -> None:
    columns = [ImageColumn(name=name, cells=cells(6)) for name in ("left", "right")]
    with Readers(2) as readers:
        for left, right in zip(*(column.batches([[0, 1], [5]], readers=readers) for column in columns), strict=True):
            for one, other in zip(left.images, right.images, strict=True):
                np.testing.assert_array_equal(one, other)
