"""Reading one image: a file, bytes or an array become uint8 ``[H, W, C]``.

The rules, which hold for training and predicting alike:

- formats: BMP, GIF, JPEG, PNG, PPM, TIFF and WebP; no other decoder is tried
- upright: the orientation that a camera noted (EXIF) is applied
- palettes, CMYK and YCbCr become RGB by Pillow's formulas; a colour profile (ICC) is not applied
- transparency: what is seen in front of black
- 16 bits a channel: the upper eight; numbers of 32 bits and floats are refused, their range is not known
- grey where the column has 3 channels: three equal ones; colour where it has 1: ``0.299 R + 0.587 G + 0.114 B``
- where something is lost by that (CMYK, transparency, 16 bits, colour), it is told (:mod:`onnxlearn.remarks`)
- several frames: refused, or the first one (``animated``); of the pictures that some cameras put into one JPEG file
  (MPO), the first
- more pixels than ``max_pixels``: refused before they are decoded
- a file that ends early is refused; damaged notes beside the picture are passed over
"""

from __future__ import annotations

import errno
import functools
import io
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from onnxlearn.errors import DataError, ImageReadError, MissingExtraError
from onnxlearn.params import check_values, param

if TYPE_CHECKING:
    from PIL import Image

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

FORMATS = ("BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")
# Beyond this Pillow takes a file for an attack, whoever wants to read it.
MOST_PIXELS = 178_956_970

# As long as a path may be.
LONGEST_PATH = 1024

_ALPHA = frozenset({"LA", "PA", "RGBA", "RGBa"})
# Where Pillow looks for what a camera noted.
_NOTES = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})
_MODES = _ALPHA | {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"}
_TRANSPARENT = "are transparent in places, and seen in front of black"
# What Pillow's decoders raise on damaged files.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ReadConfig:
    """How the images of a column are read.

    >>> ReadConfig(channels=1).max_pixels
    50000000
    """

    channels: Literal[1, 3] = param(3, "channels that images are read with: 3 for colour, 1 for grey")
    max_pixels: int = param(50_000_000, "an image of more pixels is refused undecoded", low=1, high=MOST_PIXELS)
    animated: Literal["refuse", "first"] = param("refuse", "an image of several frames is refused, or its first one read")

    def __post_init__(self) -> None:
        check_values(self, owner="reading images")


USUAL = ReadConfig()


def read_image(
    cell: Any,
    config: ReadConfig = USUAL,
    *,
    folder: str | os.PathLike[str] | None = None,
    lost: Callable[[str], None] | None = None,
) -> Array | None:
    """One image as uint8 ``[H, W, C]``, C being ``config.channels``; ``None`` where the cell is missing.

    ``cell``: a path (a relative one starts in ``folder``, or where the process runs), the bytes of a file, a dictionary with
    ``bytes`` or ``path`` or both (as Hugging Face datasets keep images; bytes count first), or an array uint8 ``[H, W]``,
    ``[H, W, 1]``, ``[H, W, 3]`` or ``[H, W, 4]`` (RGBA). Missing are ``None``, NaN, ``pandas.NA``, an empty path, and a
    dictionary whose ``bytes`` and ``path`` are missing. The pixels may be read-only, or those of the array that was given.
    ``lost`` is called with what becomes of an image of which something is lost, such as its colours.

    Raises: ImageReadError with the rule that the image breaks and the way out; MissingExtraError without Pillow.

    >>> read_image(np.full((2, 4), 7, np.uint8)).shape
    (2, 4, 3)
    >>> read_image(None) is None
    True
    """
    content = _content(cell)
    if is_missing(content):
        return None
    try:
        if isinstance(content, np.ndarray):
            return _from_array(content, config, lost or _pass_over)
        return _from_file(_source(content, folder), config, lost or _pass_over)
    except ImageReadError as error:
        raise ImageReadError(f"{image_name(cell)}: {error}") from error


def _pass_over(what: str) -> None:
    del what


def image_name(cell: Any) -> str:
    """What a message calls the image of a cell.

    >>> image_name("photos/1.png"), image_name(b"...")
    ("'photos/1.png'", 'bytes')
    """
    if hasattr(cell, "as_py"):
        cell = cell.as_py()
    if isinstance(cell, Mapping):
        return "bytes" if is_missing(cell.get("path")) else _shown(cell["path"])
    if isinstance(cell, (str, os.PathLike)):
        return _shown(cell)
    return "array" if isinstance(cell, np.ndarray) else "bytes" if isinstance(cell, bytes) else "cell"


def is_missing(cell: Any) -> bool:
    """Whether a cell holds no image: ``None``, NaN, ``pandas.NA``, an empty path, or a dictionary of nothing else.

    >>> is_missing(float("nan")), is_missing(""), is_missing(b"")
    (True, True, False)
    """
    if hasattr(cell, "as_py"):
        cell = cell.as_py()
    if cell is None or type(cell).__name__ == "NAType":
        return True
    if isinstance(cell, Mapping):
        return is_missing(cell.get("bytes")) and is_missing(cell.get("path"))
    return cell == "" if isinstance(cell, str) else isinstance(cell, float) and cell != cell


def is_grey(cell: Any, *, folder: str | os.PathLike[str] | None = None) -> bool:
    """Whether an image is one of grey levels, without decoding it; one that cannot be opened counts as grey.

    >>> is_grey(np.zeros((2, 2), np.uint8)), is_grey(np.zeros((2, 2, 3), np.uint8))
    (True, False)
    """
    content = _content(cell)
    if is_missing(content):
        return True
    if isinstance(content, np.ndarray):
        return content.ndim == 2 or content.shape[-1] == 1
    require_pillow()
    from PIL import Image

    try:
        with Image.open(_source(content, folder)) as image:
            return image.mode in ("1", "L", "LA", "I;16")
    except (ImageReadError, Image.DecompressionBombError, Warning, *_DAMAGED):
        # Whoever reads it says what is wrong with it.
        return True


def require_pillow() -> None:
    """Raise ``MissingExtraError`` where there is no Pillow."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of("pillow", "images", "reading images") from error


def _shown(path: Any) -> str:
    """A path for a message; of a text that is none its beginning."""
    text = str(path)
    return repr(text) if len(text) <= LONGEST_PATH else f"{text[:40]!r}..."


def _content(cell: Any) -> Any:
    """What holds the image."""
    if hasattr(cell, "as_py"):
        cell = cell.as_py()
    if isinstance(cell, Mapping):
        data = cell.get("bytes")
        return cell.get("path") if is_missing(data) else data
    return cell


def _source(content: Any, folder: str | os.PathLike[str] | None) -> str | io.BytesIO:
    if isinstance(content, (bytes, bytearray, memoryview)):
        if not len(content):
            raise ImageReadError("the file is empty: replace it, or give None for a missing image")
        return io.BytesIO(content)
    if not isinstance(content, (str, os.PathLike)):
        raise ImageReadError(
            f"an image is a path, bytes, a dictionary with 'bytes' or 'path', or a uint8 array, not {type(content).__name__}"
        )
    path = os.path.join(folder or "", os.fspath(content))  # noqa: PTH118  (a Path costs as much as opening the file)
    try:
        found = os.stat(path)  # noqa: PTH116
    except ValueError:
        found = None
    except OSError as error:
        _require_no_place(error)
        found = None
    # A pipe or a device would be waited for, or never end.
    if found is None or not stat.S_ISREG(found.st_mode):
        raise ImageReadError(_no_file(os.fspath(content), path, found))
    if not found.st_size:
        raise ImageReadError("the file is empty: replace it")
    return path


def _no_file(given: str, path: str, found: os.stat_result | None) -> str:
    """Why there is no file of what was given, whose path this is, and what helps."""
    if len(path) > LONGEST_PATH:
        return "a text so long is no path; images in base64 are taken by servers alone: give bytes, or a path"
    if "://" in given:
        return f"addresses are not fetched: give a path or the bytes instead of {given!r}"
    shown = os.path.normpath(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        return f"{shown!r} is a folder: name a file in it"
    return f"there is no file {shown!r}: correct the path, or set the rule folder=... of images"


_NO_PLACE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP})


def _require_no_place(error: OSError) -> None:
    """What the system says where it is not that there is no such file, which is no fault of the image.

    Raises: ImageReadError where the file may not be read, DataError where the system cannot read at all.
    """
    if error.errno in (errno.EACCES, errno.EPERM):
        raise ImageReadError(f"the file cannot be opened ({error.strerror}): give the right to read it") from error
    if error.errno is not None and error.errno not in _NO_PLACE:
        raise DataError(f"images cannot be read: {error.strerror or error}") from error


def _from_file(source: str | io.BytesIO, config: ReadConfig, lost: Callable[[str], None]) -> Array:
    pillow, formats = _opener()
    try:
        with pillow.open(source, formats=formats) as image:
            return _decoded(image, config, lost)
    except ImageReadError:
        raise
    except (pillow.DecompressionBombError, pillow.DecompressionBombWarning) as error:
        raise ImageReadError(_bomb(str(error))) from error
    except pillow.UnidentifiedImageError as error:
        known = ", ".join(name for name in formats if name != "MPO")
        raise ImageReadError(f"an image is a file of {known}; this is none, or its beginning is damaged: convert it") from error
    except MemoryError as error:
        raise ImageReadError("there is not enough memory to decode it: lower the rule max_pixels of images") from error
    # What Pillow says of a file is no error, unless the user wants it to be one.
    except (Warning, *_DAMAGED) as error:
        if isinstance(error, OSError):
            _require_no_place(error)
        raise ImageReadError(f"the file is damaged ({error or type(error).__name__}): replace it") from error


# Of a small file, importing by the function costs a tenth of the decoding.
@functools.cache
def _opener() -> tuple[Any, list[str]]:
    """Pillow, and the formats that it may open. Raises: MissingExtraError."""
    require_pillow()
    from PIL import Image

    Image.init()
    return Image, [name for name in FORMATS if name in Image.OPEN]


def _decoded(image: Image.Image, config: ReadConfig, lost: Callable[[str], None]) -> Array:
    """Every check that needs no pixels comes before they are decoded."""
    width, height = image.size
    if width * height > config.max_pixels:
        raise ImageReadError(_too_large(width, height, config))
    if config.animated == "refuse" and image.format != "MPO" and getattr(image, "is_animated", False):
        raise ImageReadError("an image has one frame, this one has several: save one, or set the rule animated=first of images")
    if image.mode not in _MODES and not _is_16_bit(image):
        way = "scale it to 0..255 first" if image.mode in ("I", "F") else "convert it to RGB first"
        raise ImageReadError(
            f"an image is grey, RGB or CMYK with 8 or 16 bits a channel, this one has mode {image.mode!r}: {way}"
        )
    if _is_deep(image):
        if image.mode == "RGB" and "transparency" in image.info:
            # Pillow would look for it among the upper eight bits alone.
            raise ImageReadError("a transparent colour of 16 bits a channel is not read: save the image with an alpha channel")
        lost("have 16 bits a channel, of which the upper eight count")
    image.load()
    # Nearly all files have none of these, and asking for the notes costs as much as decoding a small one.
    if image.format in ("TIFF", "MPO") or not _NOTES.isdisjoint(image.info):
        image = _upright(image)
    return _as_array(image, config.channels, lost)


def _upright(image: Image.Image) -> Image.Image:
    """The image as its notes say that it was held."""
    from PIL import ExifTags, ImageOps

    # Pillow would copy it.
    is_upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    return image if is_upright else ImageOps.exif_transpose(image)


def _too_large(width: int, height: int, config: ReadConfig) -> str:
    n, most = width * height, config.max_pixels
    raised = f", or set the rule max_pixels={n} of images" if n <= MOST_PIXELS else ""
    return f"an image has at most {most} pixels, this one {width} x {height} = {n}: make it smaller{raised}"


def _bomb(told: str) -> str:
    """What Pillow says of a file that it takes for an attack, in our words: the file's header alone was read."""
    n, most = re.findall(r"(\d+) pixels", told)
    return f"Pillow opens no image of more than {most} pixels, which may be an attack, and this one has {n}: make it smaller"


def _is_16_bit(image: Image.Image) -> bool:
    """Whether it is decoded as grey of 16 bits, to which Pillow also brings what a PPM file says to be its brightest."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has 16 bits a channel. Of colours Pillow drops the lower eight: only its plan of decoding tells."""
    if image.format not in ("PNG", "TIFF", "PPM"):
        return False
    args = [arg for tile in image.tile for arg in (tile.args if isinstance(tile.args, tuple) else (tile.args,))]  # type: ignore[attr-defined]
    bits = any(isinstance(arg, str) and ";16" in arg and re.search(r";16[BLNS]", arg) for arg in args)
    brightest = any(isinstance(arg, int) and arg > 255 for arg in args)
    return _is_16_bit(image) or bits or (image.format == "PPM" and brightest)


def _upper_eight(image: Image.Image, lost: Callable[[str], None]) -> Image.Image:
    """Grey of 16 bits as grey of 8; one level may stand for what is transparent."""
    from PIL import Image

    levels = np.asarray(image)
    holes = levels == image.info.get("transparency", -1)
    if holes.any():
        lost(_TRANSPARENT)
    return Image.fromarray((np.where(holes, 0, levels) >> 8).astype(np.uint8))


def _as_array(image: Image.Image, n_channels: int, lost: Callable[[str], None]) -> Array:
    """The pixels of a decoded image as uint8 ``[H, W, C]``."""
    if _is_16_bit(image):
        image = _upper_eight(image, lost)
    if image.mode in _ALPHA or "transparency" in image.info:
        image = _before_black(image.convert("RGBA"), lost)
    if image.mode == "CMYK":
        lost("are CMYK, and made RGB without their colour profile")
    if image.mode != "RGB" and not (image.mode == "L" and n_channels == 1):
        image = image.convert("RGB")
    if n_channels == 3:
        return np.asarray(image)
    if image.mode != "L" and not _is_colourless(np.asarray(image)):
        lost("have colours, and are made grey")
    # Other modes have formulas of their own to grey; all go by RGB.
    return np.asarray(image if image.mode == "L" else image.convert("L"))[:, :, np.newaxis]


def _before_black(image: Image.Image, lost: Callable[[str], None]) -> Image.Image:
    """What is seen of an RGBA image in front of black."""
    from PIL import Image

    if image.getchannel("A").getextrema()[0] != 255:
        lost(_TRANSPARENT)
    return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)


def _is_colourless(pixels: Array) -> bool:
    """Whether the three channels are equal."""
    return bool((pixels[:, :, :1] == pixels[:, :, 1:]).all())


def _from_array(array: Array, config: ReadConfig, lost: Callable[[str], None]) -> Array:
    """An array's pixels by the rules of files: transparency, grey and colour."""
    if array.dtype != np.uint8:
        convert = "store the bytes of its file, or make it an array" if array.dtype == object else "scale and convert it"
        raise ImageReadError(f"an array of an image is uint8 (0..255), not {array.dtype}: {convert}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        hint = "array.transpose(1, 2, 0)" if array.ndim == 3 and array.shape[0] in (1, 3, 4) else "the channels come last"
        hint = "the bytes of a file are given as bytes(array)" if array.ndim == 1 else hint
        shapes = "[H, W], [H, W, 1], [H, W, 3] or [H, W, 4]"
        raise ImageReadError(f"an array of an image has shape {shapes}, not {list(array.shape)}: {hint}")
    if array.size == 0:
        raise ImageReadError(f"an image has at least one pixel, not shape {list(array.shape)}: None stands for a missing one")
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    if array.shape[2] == config.channels:
        return np.ascontiguousarray(array)
    if array.shape[2] == 1:
        return np.repeat(array, config.channels, axis=2)
    require_pillow()
    from PIL import Image

    return _as_array(Image.fromarray(np.ascontiguousarray(array)), config.channels, lost)
