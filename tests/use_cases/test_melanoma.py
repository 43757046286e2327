"""The third use case of the paper, on a synthetic twin: an image, columns beside it with holes, groups, 2 % positives."""

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxlearn as ol
from onnxlearn.images.reading import read_image
from tests.use_cases.melanoma import table, task

PAGE = Path(__file__).parents[2] / "docs" / "use-cases" / "melanoma.md"
TABLE = ("age_approx", "sex", "anatom_site")
USUAL = {"max_epochs": 12, "class_weight": "balanced", "seed": 0, "device": "cpu"}
IMAGES = {"image_height": 48, "image_width": 48, "width": 16}


def test_the_twin_has_the_published_schema():
    frame = table(100)
    whole = task(frame)
    assert {column.name: column.kind for column in whole.schema.features} == {
        "image": "image", "age_approx": "numeric", "sex": "categorical", "anatom_site": "categorical",
    }  # fmt: skip
    assert whole.schema.column("age_approx").has_missing
    assert whole.schema.column("anatom_site").has_missing
    assert (whole.schema.group, whole.schema.target.positive) == ("patient_id", "malignant")
    assert 0.015 < (frame["malignant"] == "malignant").mean() < 0.025
    for train, test in ol.CV(folds=3).split(whole):
        assert not set(frame["patient_id"].iloc[train]) & set(frame["patient_id"].iloc[test])


def test_one_file_takes_all_columns_by_name_and_rows_are_drawn_evenly(tmp_path):
    frame = table(24)
    settings = {"max_epochs": 2, "image_height": 16, "image_width": 16, "width": 4, "sampling": "balanced", "augment_flip": 0.5}
    model = ol.learner("multimodal", device="cpu", **settings).fit(task(frame), progress=False)
    model.save(tmp_path / "melanoma.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "melanoma.onnx", providers=["CPUExecutionProvider"])
    assert {put.name: put.type for put in session.get_inputs()} == {
        "image": "tensor(uint8)", "age_approx": "tensor(double)", "sex": "tensor(string)", "anatom_site": "tensor(string)",
    }  # fmt: skip
    row = frame.iloc[0]
    feeds = {name: np.array([[row[name] if row[name] is not None else ""]], object) for name in ("sex", "anatom_site")}
    feeds |= {"age_approx": np.array([[row["age_approx"]]]), "image": read_image(row["image"])[None]}
    label, prob = session.run(["label", "probabilities"], feeds)
    expected = model.predict(frame[:1])
    assert label.tolist() == expected.response.tolist()
    np.testing.assert_allclose(prob, expected.prob, atol=1e-6)
    # Flips and drawing are of training alone.
    operators = {node.op_type for node in onnx.load(tmp_path / "melanoma.onnx").graph.node}
    assert not operators & {"RandomUniform", "RandomNormal", "Bernoulli", "Dropout"}


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    """With fewer patients and epochs."""
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    code = "\n".join(blocks).replace("table(400)", "table(40)").replace("max_epochs=12", "max_epochs=1, device='cpu'")
    assert code.count("max_epochs=1,") == 2
    names = {}
    exec(code, names)
    assert capsys.readouterr().out.splitlines() == re.findall(r"^```text\n(.*?)\n^```$", text, re.MULTILINE | re.DOTALL)
    assert not set(names["train"].frame["patient_id"]) & set(names["test"].frame["patient_id"])
    assert (tmp_path / "melanoma.onnx").exists()


@pytest.mark.slow
def test_all_columns_are_better_than_images_or_table_alone():
    frame = table()
    train, test = next(iter(ol.Holdout(2 / 3, seed=0).split(task(frame))))
    parts = [frame.iloc[rows].reset_index(drop=True) for rows in (train, test)]
    assert not set(parts[0]["patient_id"]) & set(parts[1]["patient_id"])
    areas = {}
    for name, columns in {"image": ("image",), "table": TABLE, "both": ("image", *TABLE)}.items():
        settings = USUAL | (IMAGES if "image" in columns else {})
        model = ol.learner("multimodal", **settings).fit(task(parts[0], columns), progress=False)
        areas[name] = model.score(task(parts[1], columns), "auc")
    assert areas["both"] > max(areas["image"], areas["table"]) + 0.01
    assert min(areas["image"], areas["table"]) > 0.6
