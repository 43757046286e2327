"""Pages of target ``web`` to be driven: how they are made, the tables they are given, and what Python makes of those."""

import contextlib
import csv
import functools
import http.server
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest

import onnxlearn as ol
from onnxlearn.export.clients.description import fields_of, moment, wire_values
from onnxlearn.files.tables import open_table
from onnxlearn.prediction import column_names, labels_of

HERE = Path(__file__).parent
RUNTIME = Path(os.environ.get("ONNXRUNTIME_WEB", HERE / "node_modules/onnxruntime-web"))
PENGUINS = Path(ol.__file__).parent / "data/penguins.csv"


@functools.cache
def penguins():
    return ol.learner("mlp", max_epochs=10, device="cpu").fit(ol.example_task("penguins"), progress=False)


def export(model, folder, **options):
    model.export("web", folder, runtime=str(RUNTIME), **options)
    return (folder / "index.html").as_uri()


def rows_of(content, delimiter=","):
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter, strict=True))


def cells_of(field, feeds):
    return [cell_of(field, value) for value in wire_values(field, feeds)]


def cell_of(field, value):
    if value is None:
        return ""
    if field.column.kind == "datetime":
        return moment(value).replace(tzinfo=None).isoformat() + ("Z" if field.role == "instant" else "")
    if field.role == "strict_flag" or isinstance(value, bool):
        return str(bool(value))
    return value if isinstance(value, str) else repr(value)


def table_of(model, feeds, **options):
    fields = fields_of(model)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", **options)
    writer.writerow([field.name for field in fields])
    writer.writerows(zip(*(cells_of(field, feeds) for field in fields), strict=True))
    return text.getvalue().encode()


def answers(model, path):
    """What Python makes of a file: names of the columns, then a list of values for each row."""
    with open_table(path) as reader:
        outputs = [model.predict_feeds(batch.feeds(model.schema)) for batch in reader.batches()]
    joined = {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}
    shapes, axes = {n: a.shape[1:] for n, a in joined.items()}, {n: o.axis for n, o in model.outputs.items()}
    target = model.schema.target
    names = column_names(target, shapes, axes)
    if "label" in joined:
        joined["label"] = labels_of(target, joined["label"])
    flat = [array.reshape(len(array), -1) for array in joined.values()]
    return names, [[value for array in flat for value in array[i].tolist()] for i in range(len(flat[0]))]


def assert_same(found, expected):
    for text, value in zip(found, expected, strict=True):
        if isinstance(value, float):
            assert float(text) == pytest.approx(value, rel=1e-5, abs=1e-5)
        else:
            assert text == str(value)


def assert_scored(told, content, names, expected):
    """What a page made of a file, line by line: the file's own cells, then what Python makes of them."""
    (head, *found), given = told, rows_of(content)
    assert head == [*given[0], *names]
    assert len(found) == len(expected) > 60
    for row, original, values in zip(found, given[1:], expected, strict=True):
        assert row[: len(original)] == original
        assert_same(row[len(original) :], values)


def placed(folder, kind):
    """The address of a folder on a disk, or on a server."""
    return contextlib.nullcontext(folder.as_uri()) if kind == "disk" else served(folder)


@contextlib.contextmanager
def served(folder):
    """The address of a folder on a plain server."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass
