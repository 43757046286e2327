"""MLServer serves the folder that ``export --to kserve`` writes, by the runtime in this package.

It is installed once, in an environment of its own::

    python -m venv tests/consumers/.mlserver
    tests/consumers/.mlserver/bin/pip install -e '.[mlserver]' 'tritonclient[grpc]'
"""

import copy
import json

import numpy as np
import pytest
from rows import batches, every_type, quantiles, quick, rows_of, sets
from servers import as_tensors, assert_same, free_port, infer, infer_by_grpc, post, python_of, serving

import onnxlearn as ol

INSTALL = (
    "python -m venv tests/consumers/.mlserver && "
    "tests/consumers/.mlserver/bin/pip install -e '.[mlserver]' 'tritonclient[grpc]'"
)

NAMES = ["penguins", "every_type", "codes", "quantiles", "sets"]

pytestmark = pytest.mark.consumers


@pytest.fixture(scope="module")
def models():
    """Models by name, and the rows to ask them for."""
    penguins = ol.Task.from_file("example:penguins", target="species")
    types = ol.Task.from_frame(every_type(), "arrival", strict_bool=["checked"], name="every type")
    codes = ol.Task.from_frame(every_type(), "flight", type="classification", name="codes")
    fitted = {"penguins": penguins, "every_type": types, "codes": codes}
    made = {name: (quick().fit(task, progress=False), task) for name, task in fitted.items()}
    made |= {"quantiles": quantiles(), "sets": sets()}
    return {name: (model, rows_of(model, task)) for name, (model, task) in made.items()}


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    """Address of HTTP, address of gRPC, and MLServer's Python."""
    python = python_of("mlserver", INSTALL)
    folder = tmp_path_factory.mktemp("models")
    for name, (model, _) in models.items():
        model.export("kserve", folder / name)
    models["penguins"][0].export("kserve", folder / "newer penguins", version=2)
    http = free_port()
    settings = {"http_port": http, "grpc_port": http + 1, "metrics_port": http + 2, "parallel_workers": 1, "host": "127.0.0.1"}
    (folder / "settings.json").write_text(json.dumps(settings))
    command = [python.parent / "mlserver", "start", folder]
    log = folder.parent / "mlserver.log"
    with serving(command, f"http://127.0.0.1:{http}/v2/health/ready", log, cwd=folder):
        yield f"http://127.0.0.1:{http}/v2/models", f"127.0.0.1:{http + 1}", python
    # Of what is refused MLServer logs the error, and not how our own code came to it.
    assert "onnxlearn/wire/" not in log.read_text("utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_http_and_grpc_give_the_models_outputs(models, server, name, tmp_path):
    http, grpc, python = server
    model, rows = models[name]
    for some in batches(rows):
        assert_same(infer(f"{http}/{name}/infer", some), model.predict_feeds(some))
    # Without rows a request has no raw values, which MLServer does not expect.
    for form in ((), ("contents",)):
        assert_same(infer_by_grpc(python, grpc, name, rows, tmp_path, *form), model.predict_feeds(rows))


def test_versions_are_served_side_by_side(models, server):
    model, rows = models["penguins"]
    rows = batches(rows)[0]
    for path, told in (("penguins", "2"), ("penguins/versions/1", "1"), ("penguins/versions/2", "2")):
        status, answer = post(f"{server[0]}/{path}/infer", {"inputs": as_tensors(rows, None)})
        assert (status, answer["model_version"]) == (200, told)
        assert_same(infer(f"{server[0]}/{path}/infer", rows), model.predict_feeds(rows))


def test_metadata_tells_the_inputs_and_outputs(models, server):
    import urllib.request

    with urllib.request.urlopen(f"{server[0]}/penguins") as answer:
        told = json.loads(answer.read())
    assert [one["name"] for one in told["inputs"]] == list(models["penguins"][0].schema.feature_names)
    assert {one["datatype"] for one in told["inputs"]} == {"BYTES", "FP64"}
    assert [(one["name"], one["datatype"], one["shape"]) for one in told["outputs"]] == [
        ("label", "BYTES", [-1]),
        ("probabilities", "FP32", [-1, 3]),
    ]


def test_the_request_beside_the_model_is_answered(models, server, tmp_path):
    for name, (model, _) in models.items():
        model.export("kserve", tmp_path / name)
        status, answer = post(f"{server[0]}/{name}/infer", (tmp_path / name / "request.json").read_bytes())
        assert status == 200, answer


def test_outputs_can_be_chosen(models, server):
    _, rows = models["penguins"]
    body = {"inputs": as_tensors({name: array[:2] for name, array in rows.items()}, None), "outputs": [{"name": "label"}]}
    _, answer = post(f"{server[0]}/penguins/infer", body)
    assert [one["name"] for one in answer["outputs"]] == ["label"]


BAD = {
    "text for a number": ("distance", {"data": ["a", 1]}, "column 'distance', row 0: expected a number"),
    "a boolean for a number": ("distance", {"data": [1, True]}, "column 'distance', row 1: expected a number"),
    "a number for text": ("city", {"data": [1, "a"]}, "column 'city', row 0: expected text"),
    "a fraction for a code": ("flight", {"data": [1, 1.5]}, "column 'flight', row 1: expected a whole number"),
    "beyond int64": ("flight", {"data": [2**63, 1]}, "column 'flight', row 0: the integer 9223372036854775808 is beyond int64"),
    "beyond float32": ("größe", {"data": [1e39, 1]}, "column 'größe', row 0: 1e+39 is beyond the range of float32"),
    "missing where it cannot be": ("checked", {"data": [None, True]}, "column 'checked', row 0: the value is missing"),
    "a list for a value": ("distance", {"data": [[[1]], [[2]]]}, "column 'distance', row 0: expected a number"),
    "fewer values": ("distance", {"shape": [3, 1]}, "column 'distance': the shape [3, 1] is one of 3 values, there are 2"),
    "another rank": ("distance", {"shape": [1, 2, 1]}, "column 'distance': expected the shape [N, 1] or [N]"),
    "another type": ("distance", {"datatype": "BYTES"}, "column 'distance': the model takes FP64, the request says BYTES"),
    "no row": ("distance", {"shape": [0, 1], "data": []}, "equally many rows"),
    "another name": ("distance", {"name": "distanse"}, "Did you mean 'distanse'?"),
    "a name twice": ("distance", {"name": "city"}, "'city' more than once"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_a_bad_request_is_told_its_mistake(models, server, mistake, tmp_path):
    models["every_type"][0].export("kserve", tmp_path / "folder")
    request = json.loads((tmp_path / "folder" / "request.json").read_text("utf-8"))
    column, change, message = BAD[mistake]
    bad = copy.deepcopy(request)
    next(one for one in bad["inputs"] if one["name"] == column).update(change)
    status, answer = post(f"{server[0]}/every_type/infer", bad)
    assert status == 400, answer
    assert message in answer["error"]
    assert "Traceback" not in answer["error"]
    assert post(f"{server[0]}/every_type/infer", request)[0] == 200


@pytest.mark.parametrize("content_type", ["base64", "datetime", "own"])
def test_values_that_stand_for_others_are_refused(models, server, content_type):
    """Read as they are, they would be a category that nobody sent."""
    _, rows = models["penguins"]
    inputs = as_tensors({name: array[:2] for name, array in rows.items()}, None)
    one = next(one for one in inputs if one["datatype"] == "BYTES")
    status, answer = post(f"{server[0]}/penguins/infer", {"inputs": inputs})
    for plain in ("np", "str"):
        one["parameters"] = {"content_type": plain}
        again = post(f"{server[0]}/penguins/infer", {"inputs": inputs})
        assert (status, answer["outputs"]) == (again[0], again[1]["outputs"])
    one["parameters"] = {"content_type": content_type}
    status, answer = post(f"{server[0]}/penguins/infer", {"inputs": inputs})
    assert status == 400
    assert f"column {one['name']!r}: values of the content type {content_type!r} are not decoded here" in answer["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[" * 10**5, b'{"inputs": NaN}', b"\xff", b'{"inputs": [{"name": 3}]}'])
def test_what_is_no_request_is_refused(server, body):
    status, _ = post(f"{server[0]}/every_type/infer", body)
    assert 400 <= status < 500


def test_random_rows_agree(models, server):
    """As many rows at once as a chunk has, and more."""
    model, rows = models["every_type"]
    rng = np.random.default_rng(0)
    at = rng.integers(0, len(rows["city"]), 2500)
    many = {name: array[at] for name, array in rows.items()}
    assert_same(infer(f"{server[0]}/every_type/infer", many), model.predict_feeds(many))
