"""The graph in front of a network does to images what Pillow, torch and torchvision's rules do."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from pictures import pixels
from PIL import Image

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.images.config import ImageConfig
from onnxlearn.images.emit import emit_images

Array = np.ndarray[Any, np.dtype[Any]]

# Values as they are: 0..255.
PLAIN = {"image_mean": (0.0,), "image_std": (1 / 255,)}
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
SIZES = [(20, 30), (64, 64), (7, 5), (1, 1), (31, 200), (200, 31), (90, 61)]


def graph(config: ImageConfig, *, n_channels: int = 3) -> onnx.ModelProto:
    g = GraphBuilder()
    with g.scope("prep"):
        images = emit_images(g, g.input("photo", "UINT8", ["N", "height", "width", n_channels]), config, n_channels=n_channels)
    g.output(images.pixels, "pixels", "FLOAT", ["N", images.n_channels, config.image_height, config.image_width])
    g.output(images.missing, "missing", "BOOL", ["N"])
    model = g.to_model()
    check(model)
    assert [entry.version for entry in model.opset_import] == [18]
    return model


def run(config: ImageConfig, *batches: Array) -> list[tuple[Array, Array]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    model = graph(config, n_channels=batches[0].shape[3])
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [tuple(session.run(None, {"photo": batch})) for batch in batches]


def resized(image: Array, height: int, width: int, how: str) -> Array:
    """By Pillow, each channel in float: what it gives for uint8 is that, rounded twice."""
    channels = [Image.fromarray(image[:, :, c].astype(np.float32)) for c in range(image.shape[2])]
    found = np.stack([np.array(channel.resize((width, height), RESAMPLING[how])) for channel in channels])
    return np.clip(found, 0, 255)


@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_stretched_as_pillow_and_torch_do(how: Any, n_channels: int) -> None:
    import torch

    config = ImageConfig(image_height=24, image_width=40, image_resample=how, **PLAIN)
    batches = [np.stack([pixels(*size, n_channels=n_channels, seed=i) for i in range(2)]) for size in SIZES]
    for batch, (found, missing) in zip(batches, run(config, *batches), strict=True):
        expected = np.stack([resized(image, 24, 40, how) for image in batch])
        assert np.abs(found - expected).max() < 2e-3
        chw = torch.from_numpy(batch.astype(np.float32)).permute(0, 3, 1, 2)
        by_torch = torch.nn.functional.interpolate(chw, (24, 40), mode=how, antialias=True, align_corners=False)
        assert np.abs(found - by_torch.clip(0, 255).numpy()).max() < 2e-3
        if how == "bicubic":
            # Of bytes, Pillow cuts overshoots off after each of its two passes: up to 19 levels where noise is resized.
            continue
        for image, one in zip(batch, found, strict=True):
            rgb = Image.fromarray(image if n_channels == 3 else image[:, :, 0]).resize((40, 24), RESAMPLING[how])
            as_bytes = np.asarray(rgb).reshape(24, 40, n_channels).transpose(2, 0, 1)
            assert np.abs(one - as_bytes).max() < 1.01
        assert not missing.any()


def cropped(image: Array, size: int, wide: int) -> Array:
    """torchvision's Resize(wide) and CenterCrop(size)."""
    height, width = image.shape[:2]
    short = min(height, width)
    new = [min(16 * wide, wide * side // short) for side in (height, width)]
    top, left = (round((side - size) / 2) for side in new)
    return resized(image, *new, "bilinear")[:, top : top + size, left : left + size]


@pytest.mark.parametrize(("share", "wide"), [(1.0, 28), (0.875, 32), (0.8, 35)])
def test_cropped_as_torchvision_does(share: float, wide: int) -> None:
    config = ImageConfig(image_height=28, image_width=28, image_fit="crop", image_crop=share, **PLAIN)
    batches = [np.stack([pixels(*size, seed=i) for i in range(2)]) for size in [*SIZES, (2, 5000)]]
    for batch, (found, _) in zip(batches, run(config, *batches), strict=True):
        expected = np.stack([cropped(image, 28, wide) for image in batch])
        assert np.abs(found - expected).max() < 2e-3


def test_a_crop_that_is_no_square() -> None:
    config = ImageConfig(image_height=10, image_width=30, image_fit="crop", **PLAIN)
    image = pixels(50, 60)
    ((found, _),) = run(config, image[np.newaxis])
    assert np.abs(found[0] - resized(image, 25, 30, "bilinear")[:, 8:18]).max() < 2e-3


def test_padded() -> None:
    config = ImageConfig(image_height=24, image_width=40, image_fit="pad", **PLAIN)
    batches = [pixels(*size)[np.newaxis] for size in SIZES]
    for batch, (found, _) in zip(batches, run(config, *batches), strict=True):
        height, width = batch.shape[1:3]
        new_height, new_width = max(1, min(24, 40 * height // width)), max(1, min(40, 24 * width // height))
        expected = np.zeros((3, 24, 40))
        top, left = (24 - new_height) // 2, (40 - new_width) // 2
        expected[:, top : top + new_height, left : left + new_width] = resized(batch[0], new_height, new_width, "bilinear")
        assert np.abs(found[0] - expected).max() < 2e-3


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad", "none"])
def test_no_rows_and_a_missing_image(fit: Any) -> None:
    config = ImageConfig(image_height=8, image_width=8, image_fit=fit)
    batch = np.stack([pixels(8, 8), np.zeros((8, 8, 3), np.uint8), pixels(8, 8, seed=1)])
    other = [] if fit == "none" else [np.zeros((1, 1, 1, 3), np.uint8), np.zeros((0, 5, 9, 3), np.uint8)]
    (found, missing), (nothing, none), *more = run(config, batch, batch[:0], *other)
    assert missing.tolist() == [False, True, False]
    assert not found[1].any()
    assert (found[0] != 0).all()
    assert (nothing.shape, none.shape) == ((0, 3, 8, 8), (0,))
    if more:
        assert (more[0][1].tolist(), more[0][0].any(), more[1][0].shape) == ([True], False, (0, 3, 8, 8))


def test_normalised_by_channel_and_grey() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    batch = np.stack([pixels(6, 5, seed=i) for i in range(3)])
    sizes: dict[str, Any] = {"image_height": 6, "image_width": 5, "image_fit": "none"}
    ((found, _),) = run(ImageConfig(**sizes, image_mean=mean, image_std=std), batch)
    np.testing.assert_allclose(found, ((batch / 255 - mean) / std).transpose(0, 3, 1, 2), atol=1e-5)
    ((grey, _),) = run(ImageConfig(**sizes, image_grey=True, **PLAIN), batch)
    np.testing.assert_allclose(grey[:, 0], batch @ np.array([0.299, 0.587, 0.114]), atol=1e-3)


def test_an_image_with_one_faint_pixel_is_there() -> None:
    batch = np.zeros((2, 300, 300, 3), np.uint8)
    batch[1, 7, 9, 2] = 1
    ((_, missing),) = run(ImageConfig(image_height=2, image_width=2), batch)
    assert missing.tolist() == [True, False]


def test_the_second_oracle_agrees() -> None:
    from onnx.reference import ReferenceEvaluator

    config = ImageConfig(image_height=9, image_width=6, image_fit="crop", image_resample="bilinear")
    batch = pixels(15, 12)[np.newaxis]
    found, missing = ReferenceEvaluator(graph(config)).run(None, {"photo": batch})
    ((expected, _),) = run(config, batch)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert missing.tolist() == [False]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_std": (0.0,)}, "image_std holds numbers above 0"),
        ({"image_mean": (float("nan"),)}, "image_mean holds one number, or one for each channel"),
        ({"image_mean": (0.1, 0.2)}, r"image_mean holds one number or one for each channel \(3 here\), not 2"),
    ],
)
def test_parameters_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        graph(ImageConfig(**settings))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1)])
def test_a_size_of_one_pixel(size: tuple[int, int]) -> None:
    height, width = size
    config = ImageConfig(image_height=height, image_width=width)
    ((pixels, missing),) = run(config, np.full((2, 9, 7, 1), 51, np.uint8))
    assert pixels.shape == (2, 1, height, width)
    assert not missing.any()
    np.testing.assert_allclose(pixels, 51 / 255 * 2 - 1, atol=1e-6)
