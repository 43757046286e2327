"""One image: every kind of file by its rule, every broken one with a message."""

from __future__ import annotations

import io
import os
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pictures import animated, bomb, encoded, pixels, png, raw_png
from PIL import Image

from onnxlearn.errors import ImageReadError, ParameterError
from onnxlearn.images.reading import MOST_PIXELS, ReadConfig, read_image

GREY = ReadConfig(channels=1)
RGB = pixels(6, 9)


def test_a_path_bytes_both_and_an_array_are_the_same(tmp_path: Path) -> None:
    data = png(RGB)
    (tmp_path / "a.png").write_bytes(data)
    path = tmp_path / "a.png"
    cells = [path, str(path), data, bytearray(data), {"bytes": data, "path": None}, {"bytes": None, "path": str(path)}, RGB]
    cells += [{"bytes": data, "path": "elsewhere.png"}, pa.array([{"bytes": data, "path": "b"}])[0], pa.array([data])[0]]
    for cell in cells:
        np.testing.assert_array_equal(read_image(cell), RGB)
    np.testing.assert_array_equal(read_image("a.png", folder=tmp_path), RGB)


@pytest.mark.parametrize(
    "cell", [None, float("nan"), np.float64("nan"), pd.NA, "", {"bytes": None, "path": None}, pa.scalar(None)]
)
def test_a_missing_cell(cell: object) -> None:
    assert read_image(cell) is None


@pytest.mark.parametrize("kind", ["BMP", "PNG", "PPM", "TIFF", "WEBP"])
def test_formats_without_loss(kind: str) -> None:
    data = encoded(Image.fromarray(RGB), kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(read_image(data), RGB)


def test_jpeg_and_gif_as_pillow_decodes_them() -> None:
    for kind in ("JPEG", "GIF"):
        data = encoded(Image.fromarray(RGB), kind)
        np.testing.assert_array_equal(read_image(data), np.array(Image.open(io.BytesIO(data)).convert("RGB")))


def test_other_formats_are_refused() -> None:
    for kind in ("ICO", "PCX", "TGA"):
        with pytest.raises(ImageReadError, match=r"^bytes: an image is a file of BMP, GIF, JPEG, PNG, .*; this is none"):
            read_image(encoded(Image.fromarray(pixels(16, 16)), kind))
    # Pillow would start another program for it.
    with pytest.raises(ImageReadError, match="this is none"):
        read_image(encoded(Image.fromarray(RGB), "EPS"))


def test_grey_becomes_three_equal_channels_and_colour_becomes_grey() -> None:
    grey = pixels(3, 4, n_channels=1)
    for cell in (grey, grey[:, :, 0], png(grey[:, :, 0])):
        np.testing.assert_array_equal(read_image(cell), np.repeat(grey, 3, axis=2))
        np.testing.assert_array_equal(read_image(cell, GREY), grey)
    expected = RGB @ np.array([0.299, 0.587, 0.114])
    for cell in (RGB, png(RGB)):
        found = read_image(cell, GREY)
        assert found is not None
        assert found.shape == (6, 9, 1)
        assert np.abs(found[:, :, 0] - expected).max() < 1


def test_transparency_is_seen_in_front_of_black() -> None:
    rgba = pixels(6, 9, n_channels=4)
    expected = rgba[:, :, :3] * (rgba[:, :, 3:] / 255)
    for cell in (rgba, png(rgba)):
        found = read_image(cell)
        assert found is not None
        assert np.abs(found - expected).max() <= 0.51
    clear = Image.new("P", (2, 1), 0)
    clear.putpalette([200, 0, 0, 0, 100, 0])
    clear.putpixel((1, 0), 1)
    np.testing.assert_array_equal(read_image(encoded(clear, "PNG", transparency=0)), [[[0, 0, 0], [0, 100, 0]]])


def test_palette_and_bilevel() -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([200, 10, 20, 0, 100, 0])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(read_image(encoded(image)), [[[200, 10, 20], [0, 100, 0]]])
    np.testing.assert_array_equal(read_image(encoded(Image.new("1", (1, 1), 1)), GREY), [[[255]]])


def test_cmyk() -> None:
    image = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    found = read_image(encoded(image, "TIFF"))
    np.testing.assert_array_equal(found, np.full((8, 8, 3), [0, 255, 255]))
    jpeg = read_image(encoded(image, "JPEG", quality=100))
    assert jpeg is not None
    assert np.abs(jpeg.astype(int) - [0, 255, 255]).max() <= 2


def test_of_16_bits_the_upper_eight() -> None:
    high = np.array([[0x1234, 0xFFFF, 0x00FF]], np.uint16)
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(read_image(encoded(Image.fromarray(high), kind), GREY), [[[0x12], [0xFF], [0x00]]])
    colour = raw_png(1, 1, depth=16, colour=2, rows=b"\0\x12\x34\x56\x78\x9a\xbc")
    np.testing.assert_array_equal(read_image(colour), [[[0x12, 0x56, 0x9A]]])


def test_32_bits_are_refused() -> None:
    for array in (np.zeros((2, 2), np.float32), np.zeros((2, 2), np.int32)):
        with pytest.raises(ImageReadError, match=r"8 or 16 bits a channel, this one has mode '[FI]': scale it to 0\.\.255"):
            read_image(encoded(Image.fromarray(array), "TIFF"))


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_the_orientation_of_the_camera(orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read_image(encoded(Image.fromarray(RGB), "PNG", exif=exif)), np.rot90(RGB, turns))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames(kind: str) -> None:
    with pytest.raises(ImageReadError, match="an image has one frame, this one has several"):
        read_image(animated(kind))
    first = read_image(animated(kind), ReadConfig(animated="first"))
    assert first is not None
    assert first.shape == (4, 5, 3)
    if kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(first, pixels(4, 5))


def test_several_pictures_of_a_camera_in_one_file() -> None:
    found = read_image(animated("MPO"))
    assert found is not None
    assert found.shape == (4, 5, 3)


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_undecoded() -> None:
    told = "at most 50000000 pixels, this one {} x {} = {}: make it smaller, or set the rule max_pixels={} of images"
    for width, height in ((10_000, 5_001), (9_000, 10_000)):
        n = width * height
        with pytest.raises(ImageReadError, match=told.format(width, height, n, n)):
            read_image(bomb(width, height))
    # Beyond that no rule helps, and none is named.
    with pytest.raises(
        ImageReadError,
        match=f"^bytes: Pillow opens no image of more than {MOST_PIXELS} .* this one has 930000000: make it smaller$",
    ):
        read_image(bomb(30_000, 31_000))
    with pytest.raises(ImageReadError, match=r"at most 50 pixels, this one 9 x 6"):
        read_image(png(RGB), ReadConfig(max_pixels=50))
    with pytest.raises(ParameterError, match="max_pixels has to be int >= 1"):
        ReadConfig(max_pixels=MOST_PIXELS + 1)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_a_truncated_file_is_never_an_image(kind: str) -> None:
    data = encoded(Image.fromarray(pixels(40, 50)), kind)
    for length in range(0, len(data) * 9 // 10, max(1, len(data) // 40)):
        with pytest.raises(ImageReadError, match=r"^bytes: "):
            read_image(data[:length])


def test_damaged_bytes_are_an_image_or_an_error() -> None:
    draw = np.random.default_rng(1)
    for kind in ("GIF", "JPEG", "PNG", "TIFF", "WEBP"):
        data = np.frombuffer(encoded(Image.fromarray(pixels(20, 20)), kind), np.uint8)
        for _ in range(60):
            broken = data.copy()
            at = draw.integers(0, len(data), 5)
            broken[at] = draw.integers(0, 256, 5)
            try:
                found = read_image(broken.tobytes())
            except ImageReadError:
                continue
            assert found is not None
            assert (found.dtype, found.ndim, found.shape[2]) == (np.uint8, 3, 3)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("gone.png", "pipe", "a\0b"):
        with pytest.raises(ImageReadError, match=r"there is no file .*: correct the path"):
            read_image(name, folder=tmp_path)
    with pytest.raises(ImageReadError, match=r"is a folder: name a file in it"):
        read_image(".", folder=tmp_path)
    with pytest.raises(ImageReadError, match=r"addresses are not fetched: .* instead of 'https://example\.org/a\.png'"):
        read_image("https://example.org/a.png", folder=tmp_path)


def test_a_mode_without_red_green_and_blue_says_what_helps(tmp_path: Path) -> None:
    Image.new("LAB", (4, 4)).save(tmp_path / "lab.tiff")
    with pytest.raises(ImageReadError, match=r"this one has mode 'LAB': convert it to RGB first"):
        read_image("lab.tiff", folder=tmp_path)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (np.zeros((2, 2, 3)), r"array: an array of an image is uint8 \(0..255\), not float64"),
        (np.zeros((3, 8, 8), np.uint8), r"not \[3, 8, 8\]: array.transpose\(1, 2, 0\)"),
        (np.zeros((8, 8, 2), np.uint8), r"\[H, W, 3\] or \[H, W, 4\], not \[8, 8, 2\]: the channels come last"),
        (np.zeros(8, np.uint8), r"not \[8\]"),
        (np.zeros((0, 8, 3), np.uint8), r"at least one pixel, not shape \[0, 8, 3\]: None stands"),
        (7, r"cell: an image is a path, bytes, .*, not int"),
        (b"no image", r"bytes: an image is a file of"),
    ],
)
def test_cells_that_are_no_images(cell: object, message: str) -> None:
    with pytest.raises(ImageReadError, match=message):
        read_image(cell)


@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
def test_a_larger_image_is_read_where_the_rule_allows_it() -> None:
    # More than Pillow reads without a warning.
    large = Image.new("L", (9_500, 9_500), 7)
    image = read_image(encoded(large, "PNG"), ReadConfig(channels=1, max_pixels=9_500 * 9_500))
    assert image is not None
    assert image.shape == (9_500, 9_500, 1)
    assert image[-1, -1, 0] == 7


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    for cell in ("a.png", b"", {"bytes": b"", "path": "a.png"}):
        with pytest.raises(ImageReadError, match=r"(a.png'|bytes): the file is empty: replace it"):
            read_image(cell, folder=tmp_path)


RED = np.full((4, 5, 3), (255, 0, 0), np.uint8)
LOSING = {
    "are CMYK": (encoded(Image.fromarray(RED).convert("CMYK"), "TIFF"), RED),
    "have 16 bits a channel": (
        png(np.array([[0, 255, 256, 32768, 65535]], np.uint16)),
        np.array([[[level] * 3 for level in (0, 0, 1, 128, 255)]], np.uint8),
    ),
    "are transparent in places": (
        np.dstack([RED, np.full((4, 5), 51, np.uint8)]), np.full((4, 5, 3), (51, 0, 0), np.uint8),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LOSING)
def test_what_is_lost_is_told_and_what_is_left_is_right(what: str) -> None:
    cell, expected = LOSING[what]
    lost: list[str] = []
    np.testing.assert_array_equal(read_image(cell, lost=lost.append), expected)
    assert len(lost) == 1
    assert lost[0].startswith(what)


DEEP = {
    "PNG, grey": raw_png(2, 1, depth=16, colour=0, rows=b"\0\xff\xff\x80\x00"),
    "PNG, grey and alpha": raw_png(2, 1, depth=16, colour=4, rows=b"\0\xff\xff\xff\xff\x80\x00\xff\xff"),
    "PNG, colour": raw_png(2, 1, depth=16, colour=2, rows=b"\0" + b"\xff\xff" * 3 + b"\x80\x00" * 3),
    "PNG, colour and alpha": raw_png(2, 1, depth=16, colour=6, rows=b"\0" + b"\xff\xff" * 4 + b"\x80\x00" * 3 + b"\xff\xff"),
    "PPM, grey": b"P5\n2 1\n65535\n\xff\xff\x80\x00",
    "PPM, grey up to 1000": b"P5\n2 1\n1000\n\x03\xe8\x01\xf4",
    "PPM, colour": b"P6\n2 1\n65535\n" + b"\xff\xff" * 3 + b"\x80\x00" * 3,
    "PPM, as text": b"P3\n2 1\n65535\n65535 65535 65535 32768 32768 32768\n",
    "TIFF, grey": encoded(Image.fromarray(np.array([[65535, 32768]], np.uint16)), "TIFF"),
}


def bmp_of_16_bits_a_pixel() -> bytes:
    """Five or six bits a channel: nothing of these is lost."""
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    header = struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 70, 0, 0, 66) + header + masks + b"\xff\xff\0\0"


def test_nothing_is_told_of_other_plans_of_decoding() -> None:
    lost: list[str] = []
    white = np.full((1, 1, 3), 255, np.uint8)
    for data in (bmp_of_16_bits_a_pixel(), b"P1\n1 1\n0\n", b"P4\n1 1\n\0", b"P2\n1 1\n255\n255\n", b"P2\n1 1\n100\n100\n"):
        np.testing.assert_array_equal(read_image(data, lost=lost.append), white)
    assert lost == []


@pytest.mark.parametrize("kind", DEEP)
def test_16_bits_are_told_in_every_format(kind: str) -> None:
    lost: list[str] = []
    np.testing.assert_array_equal(read_image(DEEP[kind], lost=lost.append), [[[255] * 3, [128] * 3]])
    assert lost == ["have 16 bits a channel, of which the upper eight count"]


def test_a_transparent_level_of_16_bits_is_seen_in_front_of_black() -> None:
    lost: list[str] = []
    levels = raw_png(2, 1, depth=16, colour=0, rows=b"\0\xff\xff\xff\xfe", key=b"\xff\xff")
    np.testing.assert_array_equal(read_image(levels, GREY, lost=lost.append), [[[0], [255]]])
    assert lost[1:] == ["are transparent in places, and seen in front of black"]
    colours = raw_png(1, 1, depth=16, colour=2, rows=b"\0" + b"\xff\xff" * 3, key=b"\xff\xff" * 3)
    with pytest.raises(ImageReadError, match="a transparent colour of 16 bits a channel is not read: save the image with an"):
        read_image(colours)


def test_nothing_is_told_where_nothing_is_lost() -> None:
    lost: list[str] = []
    opaque = np.dstack([RED, np.full((4, 5), 255, np.uint8)])
    grey = np.full((4, 5, 3), 9, np.uint8)
    for cell, config in (
        (opaque, ReadConfig()),
        (png(opaque), ReadConfig()),
        (grey, GREY),
        (png(grey), GREY),
        (png(RED), ReadConfig()),
    ):
        assert read_image(cell, config, lost=lost.append) is not None
    assert lost == []
    read_image(RED, GREY, lost=lost.append)
    assert lost == ["have colours, and are made grey"]


def test_threads_that_read_leave_the_filters_of_warnings_as_they_were() -> None:
    cell = png(pixels(40, 40))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(read_image, [cell] * 2_000))
        assert warnings.filters == before
