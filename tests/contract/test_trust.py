"""What learners write, in every form of a file, is opened without being trusted, and verifies."""

import pytest
from odd_tables import COLUMNS, make_task
from quick_learners import quick

import onnxlearn as ol
from onnxlearn.errors import ParameterError
from onnxlearn.graph.rewrite import NEWEST_OPSET
from onnxlearn.guard import problem_of

FORMS = {
    "onnx": [
        {"opset": NEWEST_OPSET},
        {"layout": "packed", "float_type": "float32"},
        {"labels": "indices", "outputs": ("probabilities", "label")},
    ],
    "fp16": [{"force": True, "seconds": 0.0}],
    "int8": [{"force": True, "seconds": 0.0}],
}


# Of each kind of network one: the contract holds every learner to its plain file.
@pytest.mark.parametrize("name", ["featureless", "mlp", "ft_transformer", "tabnet", "bagging"])
def test_files_are_opened_and_verify(name, tmp_path):
    model = quick(name).fit(make_task(tuple(COLUMNS), "several texts", seed=0), progress=False)
    assert problem_of(model.to_bytes()) is None
    assert model.verify().ok
    refused = []
    for to, variants in FORMS.items():
        for i, options in enumerate(variants):
            path = tmp_path / f"{to}-{i}.onnx"
            try:
                model.export(to, path, **options)
            except ParameterError as error:
                refused.append(str(error))
                continue
            assert ol.load(path).verify().ok
    # Small networks, those in DOUBLE and none at all are not converted.
    assert all(any(why in text for why in ("gains nothing", "no network", "DOUBLE")) for text in refused), refused
