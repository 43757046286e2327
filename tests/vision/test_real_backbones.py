"""Backbones of torchvision and timm as they are: needs both packages, and minutes.

pip install '.[vision]' && python -m pytest -m consumers tests/vision/test_real_backbones.py
"""

import numpy as np
import pandas as pd
import pytest

import onnxlearn as ol

NAMES = [
    "torchvision:resnet18", "torchvision:mobilenet_v3_small", "torchvision:efficientnet_b0", "torchvision:shufflenet_v2_x0_5",
    # Batch norms with activations in them.
    "timm:mobilenetv3_small_050", "timm:efficientnet_lite0", "timm:ghostnet_050", "timm:resnet18", "timm:convnext_atto",
    "timm:mobileone_s0", "timm:regnety_002",
]  # fmt: skip


@pytest.mark.consumers
@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_others_becomes_a_part_of_a_file(name, tmp_path):
    pytest.importorskip(name.partition(":")[0])
    rng = np.random.default_rng(0)
    images = pd.Series([rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(40)], dtype=object)
    task = ol.Task.from_frame(pd.DataFrame({"photo": images, "y": ["a", "b"] * 20}), "y", kinds={"photo": "image"})
    size = {"image_height": 64, "image_width": 64}
    model = ol.learner("backbone", backbone=name, max_epochs=1, batch_size=8, device="cpu", seed=0, **size).fit(
        task, progress=False
    )
    model.save(tmp_path / "model.onnx")
    # Lowered by our own table: loaded without trust.
    np.testing.assert_array_equal(ol.load(tmp_path / "model.onnx").predict(task).prob, model.predict(task).prob)
