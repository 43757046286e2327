"""Augmentation: what each change does to an image, what is drawn for it, and what stays as it is."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import stats

from onnxlearn.errors import ParameterError
from onnxlearn.params import build_configs
from onnxlearn_models.augment import colour, place
from onnxlearn_models.augment.augment import augment
from onnxlearn_models.augment.config import AugmentConfig
from onnxlearn_models.augment.erase import erase

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ALL = AugmentConfig(
    augment_flip=0.5, augment_flip_vertical=0.5, augment_shift=2, augment_crop=0.4, augment_rotate=20, augment_translate=0.1,
    augment_scale=1.3, augment_shear=15, augment_brightness=0.4, augment_contrast=0.4, augment_saturation=0.4, augment_hue=0.2,
    augment_erase=0.7,
)  # fmt: skip
EACH = [
    {name: value} for name, value in vars(ALL).items() if name not in ("augment_crop_ratio", "augment_erase_area")
]  # fmt: skip


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def pictures(n: int = 4, height: int = 12, width: int = 9, n_channels: int = 3) -> torch.Tensor:
    return torch.rand(n, n_channels, height, width)


def seen(images: torch.Tensor, i: int = 0) -> Any:
    """An image as others have it, ``[h, w, C]``."""
    return images[i].permute(1, 2, 0).numpy()


def each(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


# Places


def test_flips_and_whole_pixels_are_exact() -> None:
    images = pictures()
    found = place.index(images, [torch.tensor([True, False, True, False])] * 2, [torch.zeros(4)] * 2)
    assert torch.equal(found[::2], images[::2].flip(2, 3))
    assert torch.equal(found[1::2], images[1::2])
    still = [torch.zeros(4, dtype=torch.bool)] * 2
    found = place.index(images, still, [torch.full((4,), 2.0), torch.full((4,), -3.0)])
    assert torch.equal(found[:, :, :-3, 2:], images[:, :, 3:, :-2])
    assert not found[:, :, -3:].any()
    assert not found[:, :, :, :2].any()
    # First the one, then the other.
    flips = [torch.tensor([True, False]), torch.tensor([False, True])]
    both = place.index(images[:2], flips, [each(2, 0), each(0, 3)])
    assert torch.equal(both[0, :, :, 2:], images[0].flip(2)[:, :, :-2])
    assert torch.equal(both[1, :, 3:], images[1].flip(1)[:, :-3])


def test_a_matrix_does_the_same() -> None:
    images = pictures()
    flips, shifts = [torch.rand(4) < 0.5, torch.rand(4) < 0.5], [each(1, -2, 0, 3), each(0, 4, -5, 1)]
    matrix = place.scaling(*(1.0 - 2.0 * flip for flip in flips)) @ place.shifting(*shifts)
    torch.testing.assert_close(place.sample(images, matrix), place.index(images, flips, shifts), rtol=0, atol=1e-5)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_right_angles(turns: int) -> None:
    images = pictures(2, 10, 10)
    found = place.sample(images, place.rotation(each(90.0 * turns, 90.0 * turns - 360)))
    torch.testing.assert_close(found, images.rot90(turns, (2, 3)), rtol=0, atol=1e-5)


def test_any_matrix_as_pillow_has_it() -> None:
    """Each step by itself and all of them, in the picture: at its border Pillow does not go over into what is outside."""
    height, width = 40, 31
    images = pictures(1, height, width, 1)
    steps = [
        place.rotation(each(17)), place.shifting(each(2.3), each(-1.6)), place.scaling(each(0.8), each(1.3)),
        place.shearing(each(12)),
    ]  # fmt: skip
    whole = steps[0] @ steps[1] @ steps[2] @ steps[3]
    # Pillow's places are from the upper left corner.
    to_middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    for matrix in (*steps, whole):
        corner = np.linalg.inv(to_middle) @ matrix[0].double().numpy() @ to_middle
        image = Image.fromarray(images[0, 0].numpy())
        data = tuple(corner[:2].ravel())
        expected = np.asarray(image.transform((width, height), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR))
        ys, xs = np.mgrid[:height, :width] + 0.5
        old = np.einsum("ij,jhw->ihw", corner, np.stack([xs, ys, np.ones_like(xs)]))[:2]
        inside = ((old > 1) & (old < np.array([width, height])[:, None, None] - 1)).all(axis=0)
        outside = ((old < -1) | (old > np.array([width, height])[:, None, None] + 1)).any(axis=0)
        found = place.sample(images, matrix)[0, 0].numpy()
        assert inside.sum() > 300
        np.testing.assert_allclose(found[inside], expected[inside], atol=2e-4)
        assert not found[outside].any()


def middle(images: torch.Tensor) -> Any:
    """Where the weight of each image lies, in pixels from its middle, ``[B, 2]`` as x and y."""
    height, width = images.shape[2:]
    ys = torch.arange(height) - (height - 1) / 2
    xs = torch.arange(width) - (width - 1) / 2
    total = images.sum(dim=(1, 2, 3))
    return torch.stack([(images.sum((1, 2)) @ xs) / total, (images.sum((1, 3)) @ ys) / total], 1).numpy()


def spots(n: int, height: int, width: int, x: float = 0, y: float = 0) -> torch.Tensor:
    """A soft spot in each image, so many pixels from its middle."""
    ys = torch.arange(height)[:, None] - (height - 1) / 2 - y
    xs = torch.arange(width) - (width - 1) / 2 - x
    return torch.exp(-(xs**2 + ys**2) / 4).expand(n, 1, height, width).contiguous()


def uniform(values: Any, low: float, high: float, close: float = 0.0) -> None:
    assert low - close <= values.min() < low + (high - low) / 20
    assert high - (high - low) / 20 < values.max() <= high + close
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_what_is_drawn_for_places() -> None:
    at_middle, at_right = spots(1500, 41, 61), spots(1500, 41, 61, x=10)
    moved = middle(augment(at_middle, AugmentConfig(augment_translate=0.1)))
    uniform(moved[:, 0], -6.1, 6.1, 0.02)
    uniform(moved[:, 1], -4.1, 4.1, 0.02)
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.1
    x, y = middle(augment(at_right, AugmentConfig(augment_rotate=40))).T
    uniform(np.degrees(np.arctan2(-y, x)), -40, 40, 0.1)
    np.testing.assert_allclose(np.hypot(x, y), 10, atol=0.02)
    x, y = middle(augment(at_right, AugmentConfig(augment_scale=2))).T
    uniform(np.log2(x / 10), -1, 1, 0.01)
    np.testing.assert_allclose(y, 0, atol=0.01)
    x, y = middle(augment(spots(1500, 41, 61, y=-10), AugmentConfig(augment_shear=30))).T
    uniform(np.degrees(np.arctan2(x, -y)), -30, 30, 0.2)
    np.testing.assert_allclose(y, -10, atol=0.02)
    shifted = middle(augment(at_middle, AugmentConfig(augment_shift=3)))
    for axis in (0, 1):
        whole, counts = np.unique(shifted[:, axis].round(3), return_counts=True)
        assert whole.tolist() == [-3, -2, -1, 0, 1, 2, 3]
        assert stats.chisquare(counts).pvalue > 1e-3
    for name, axis in (("augment_flip", 0), ("augment_flip_vertical", 1)):
        flipped = middle(augment(spots(1500, 41, 61, x=5, y=5), AugmentConfig(**{name: 0.3}))).round(3)
        assert stats.binomtest(int((flipped[:, axis] == -5).sum()), 1500, 0.3).pvalue > 1e-3
        assert (flipped[:, 1 - axis] == 5).all()


def test_crops_are_inside_and_have_the_area_and_shape() -> None:
    height, width = 40, 60
    across = torch.linspace(0.5, width - 0.5, width).expand(height, width)
    down = torch.linspace(0.5, height - 0.5, height)[:, None].expand(height, width)
    images = torch.stack([across, down]).expand(2000, 2, height, width).contiguous()
    found = augment(images, AugmentConfig(augment_crop=0.25, augment_crop_ratio=1.5))
    # Two places well inside tell where the others come from.
    wide = (found[:, 0, 20, 45] - found[:, 0, 20, 15]).double().numpy() / 30
    high = (found[:, 1, 30, 30] - found[:, 1, 10, 30]).double().numpy() / 20
    left = found[:, 0, 20, 15].double().numpy() - wide * 15.5
    top = found[:, 1, 10, 30].double().numpy() - high * 10.5
    assert wide.max() <= 1 + 1e-4
    assert high.max() <= 1 + 1e-4
    assert left.min() > -1e-3
    assert top.min() > -1e-3
    assert (left + wide * width).max() < width + 1e-3
    assert (top + high * height).max() < height + 1e-3
    whole = (wide < 0.999) & (high < 0.999)
    uniform(np.log(wide / high)[whole & (wide * high < 0.6)], -np.log(1.5), np.log(1.5), 1e-3)
    assert (wide * high).min() > 0.25 - 1e-4
    area = wide[whole] * high[whole]
    uniform(area[area < 0.6], 0.25, 0.6)
    at_left = left[wide < 0.9] / (width * (1 - wide[wide < 0.9]))
    uniform(at_left, 0, 1, 1e-3)
    # Nothing comes from outside.
    assert (found[:, 0] > 0.4).all()


# Colours


def test_colours_as_pillow_changes_them() -> None:
    draw = np.random.default_rng(0)
    bytes_ = draw.integers(0, 256, (12, 9, 3), np.uint8)
    image = Image.fromarray(bytes_)
    for factor in (0.0, 0.4, 1.0, 1.7):
        for change, usual in (
            (colour.brighten, ImageEnhance.Brightness),
            (colour.contrast, ImageEnhance.Contrast),
            (colour.saturate, ImageEnhance.Color),
        ):
            pixels = torch.from_numpy(bytes_).permute(2, 0, 1)[None] / 255
            change(pixels, torch.full((1, 1, 1, 1), factor))
            # Pillow rounds the grey to a whole level first.
            expected = np.asarray(usual(image).enhance(factor)) / 255
            assert np.abs(seen(pixels) - expected).max() <= 2 / 255


def test_without_saturation_all_is_grey() -> None:
    images = pictures()
    grey = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    colour.saturate(images, torch.zeros(4, 1, 1, 1))
    torch.testing.assert_close(images, grey.expand_as(images))


@pytest.mark.parametrize("share", [0.0, 0.1, 1 / 3, 0.5, -0.25])
def test_hues_as_python_turns_them(share: float) -> None:
    images = pictures()
    images[0, :, 0, 0] = 0.3
    images[0, :, 0, 1] = torch.tensor([0.0, 0.0, 1.0])
    images[0, :, 0, 2] = torch.tensor([1.0, 1.0, 0.0])
    images[0, :, 0, 3] = 0
    turned = colour.turn_hue(images.clone(), torch.full((4, 1, 1, 1), share))
    for old, new in zip(seen(images).reshape(-1, 3).tolist(), seen(turned).reshape(-1, 3).tolist(), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*old)
        np.testing.assert_allclose(new, colorsys.hsv_to_rgb((hue + share) % 1, saturation, value), atol=1e-5)


def test_what_is_drawn_for_colours() -> None:
    mean = torch.tensor(MEAN)[:, None, None]
    images = (torch.tensor([0.4, 0.2, 0.1])[:, None, None].expand(2000, 3, 2, 2) - mean) / torch.tensor(STD)[:, None, None]

    def changed(**settings: float) -> Any:
        found = augment(images, AugmentConfig(**settings), mean=MEAN, std=STD)
        return (found * torch.tensor(STD)[:, None, None] + mean)[:, :, 0, 0].double().numpy()

    uniform(changed(augment_brightness=0.3)[:, 0] / 0.4, 0.7, 1.3, 1e-5)
    grey = 0.299 * 0.4 + 0.587 * 0.2 + 0.114 * 0.1
    for name in ("augment_contrast", "augment_saturation"):
        uniform((changed(**{name: 0.4})[:, 0] - grey) / (0.4 - grey), 0.6, 1.4, 1e-4)
    hues = np.array([colorsys.rgb_to_hsv(*row)[0] for row in changed(augment_hue=0.2)])
    uniform((hues - colorsys.rgb_to_hsv(0.4, 0.2, 0.1)[0] + 0.5) % 1 - 0.5, -0.2, 0.2, 1e-4)


def test_grey_images_have_brightness_and_contrast_alone() -> None:
    images = pictures(n_channels=1) * 2 - 1
    assert torch.allclose(augment(images, AugmentConfig(augment_saturation=0.9, augment_hue=0.5)), images, atol=1e-6)
    for settings in ({"augment_brightness": 0.5}, {"augment_contrast": 0.5}):
        assert not torch.allclose(augment(images, AugmentConfig(**settings)), images, atol=1e-2)


# Erasing


def test_rectangles_are_erased() -> None:
    images = torch.ones(3000, 2, 50, 40)
    found = erase(images, AugmentConfig(augment_erase=0.4, augment_erase_area=0.3))
    hole = (found == 0).numpy()
    assert (hole[:, 0] == hole[:, 1]).all()
    rows, columns = hole[:, 0].any(axis=2), hole[:, 0].any(axis=1)
    assert (hole[:, 0] == rows[:, :, None] & columns[:, None, :]).all()
    high, wide = rows.sum(axis=1), columns.sum(axis=1)
    erased = high > 0
    assert stats.binomtest(int(erased.sum()), 3000, 0.4).pvalue > 1e-3
    for side, length in ((rows, high), (columns, wide)):
        # In one piece.
        assert (np.diff(side.astype(int), axis=1) != 0).sum(axis=1).max() <= 2
        assert length.max() <= side.shape[1]
    share = (high * wide)[erased] / 2000
    # Sides are whole pixels: of the smallest ones half a pixel is a tenth.
    assert share.min() > 0.015
    assert share.max() < 0.32
    uniform(share[(share > 0.05) & (share < 0.25)], 0.05, 0.25)
    # Every row and every column is within some of them.
    assert hole[:, 0].any(axis=(0, 1)).all()
    assert hole[:, 0].any(axis=(0, 2)).all()


# All of it


@pytest.mark.parametrize("settings", [*EACH, vars(ALL)], ids=lambda each: "all" if len(each) > 1 else next(iter(each)))
@pytest.mark.parametrize("n_channels", [1, 3])
def test_rows_missing_ones_and_what_was_given(settings: dict[str, Any], n_channels: int) -> None:
    config = AugmentConfig(**settings)
    images = (pictures(6, 14, 11, n_channels) - 0.5) / 0.2
    images[[1, 4]] = 0
    given = images.clone()
    torch.manual_seed(5)
    found = augment(images, config, mean=(0.5,) * n_channels, std=(0.2,))
    assert torch.equal(images, given)
    assert (found.shape, found.dtype) == (images.shape, images.dtype)
    assert found.is_contiguous()
    assert not found[[1, 4]].any()
    assert found.isfinite().all()
    # Values stay within those that pixels have.
    assert found.abs().max() <= 2.5 + 1e-4
    torch.manual_seed(5)
    assert torch.equal(augment(images, config, mean=(0.5,) * n_channels, std=(0.2,)), found)
    # A row is made of itself alone: the others may be anything.
    images[0] = 2
    torch.manual_seed(5)
    other = augment(images, config, mean=(0.5,) * n_channels, std=(0.2,))
    assert torch.equal(other[1:], found[1:])
    if n_channels == 3 or not {"augment_saturation", "augment_hue"} & set(settings):
        assert not torch.equal(found, given)
        others = []
        for seed in range(6, 16):
            torch.manual_seed(seed)
            others.append(augment(images, config, mean=(0.5,) * n_channels, std=(0.2,)))
        assert not all(torch.equal(each, other) for each in others)


def test_by_default_nothing_happens() -> None:
    images = pictures()
    before = torch.get_rng_state()
    assert augment(images, AugmentConfig()) is images
    assert torch.equal(torch.get_rng_state(), before)


def test_a_single_image_of_one_pixel() -> None:
    images = torch.full((1, 3, 1, 1), 0.5)
    assert augment(images, ALL).shape == (1, 3, 1, 1)


def test_settings_that_cannot_be() -> None:
    for settings, text in (
        ({"augment_flip": 1.5}, "augment_flip has to be float >= 0, <= 1, not 1.5"),
        ({"augment_crop": 0}, "augment_crop has to be float > 0, <= 1, not 0"),
        ({"augment_scale": 0.5}, "augment_scale has to be float >= 1"),
        ({"augment_crop_ratio": 2}, "augment_crop_ratio=2.0 changes nothing with augment_crop=1.0"),
        ({"augment_erase_area": 0.5}, "augment_erase_area=0.5 changes nothing with augment_erase=0.0"),
    ):
        with pytest.raises(ParameterError, match=text):
            build_configs([AugmentConfig], settings, owner="cnn")
