"""How a table's images are read."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from onnxlearn.errors import ParameterError, did_you_mean, listing
from onnxlearn.images.reading import MOST_PIXELS, ReadConfig

# What becomes of a row whose image cannot be read.
Policy: TypeAlias = Literal["error", "skip", "missing"]
POLICIES = ("error", "skip", "missing")


@dataclass(frozen=True, kw_only=True)
class ImageRules:
    """How images are read, the same for all columns of a table.

    ``folder``: where relative paths start; ``None``: where the process runs, or beside the table's file. ``policy``: an image
    that cannot be read is an error, its row is left out of a task (``skip``), or it counts as ``missing``. ``channels``: 3 for
    colour, 1 for grey; ``auto``: grey where the first images of a column are. ``max_pixels``: a larger image is refused
    undecoded. ``animated``: several frames are refused, or the ``first`` is taken.

    >>> ImageRules(policy="missing").max_pixels
    50000000

    Raises: ParameterError.
    """

    folder: str | os.PathLike[str] | None = None
    policy: Policy = "error"
    channels: Literal["auto", 1, 3] = "auto"
    max_pixels: int = 50_000_000
    animated: Literal["refuse", "first"] = "refuse"

    def __post_init__(self) -> None:
        choices = {"policy": POLICIES, "channels": ("auto", 1, 3), "animated": ("refuse", "first")}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ParameterError(f"{name} is one of {', '.join(map(str, known))}, not {getattr(self, name)!r}")
        if type(self.max_pixels) is not int or not 1 <= self.max_pixels <= MOST_PIXELS:
            raise ParameterError(f"max_pixels is a number from 1 to {MOST_PIXELS}, not {self.max_pixels!r}")

    def config(self, n_channels: int) -> ReadConfig:
        """The same for one column, of so many channels."""
        assert n_channels in (1, 3)
        return ReadConfig(channels=3 if n_channels == 3 else 1, max_pixels=self.max_pixels, animated=self.animated)


USUAL_RULES = ImageRules()


def rules_of(given: ImageRules | Mapping[str, Any] | None) -> ImageRules:
    """The rules, also from a mapping of them by name, in which numbers may be texts.

    >>> rules_of({"channels": "1", "policy": "skip"}).channels
    1

    Raises: ParameterError.
    """
    if given is None:
        return USUAL_RULES
    if isinstance(given, ImageRules):
        return given
    if not isinstance(given, Mapping):
        raise ParameterError(f"images takes an ImageRules, or a mapping such as {{'folder': 'photos'}}, not {given!r}")
    known = [field.name for field in dataclasses.fields(ImageRules)]
    if unknown := next((name for name in given if name not in known), None):
        raise ParameterError(f"images has no rule {unknown!r}.{did_you_mean(str(unknown), known)} There are {listing(known)}")
    numbers = {"channels", "max_pixels"}
    return ImageRules(**{name: _number(value) if name in numbers else value for name, value in given.items()})


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def beside(given: ImageRules | Mapping[str, Any] | None, path: str | os.PathLike[str]) -> ImageRules:
    """The rules for the table of a file: relative paths start in its folder, unless another one was given.

    >>> str(beside(None, "data/photos.csv").folder)
    'data'
    """
    rules = rules_of(given)
    folder = Path(path).parent if Path(path).is_file() or Path(path).suffix else None
    return dataclasses.replace(rules, folder=folder) if rules.folder is None else rules


def rules_for_every_row(given: ImageRules | Mapping[str, Any] | None) -> ImageRules:
    """The rules where every row is predicted. Raises: ParameterError where rows would be left out."""
    rules = rules_of(given)
    if rules.policy == "skip":
        raise ParameterError(
            "the rule policy=skip of images leaves rows out of a task, and here every row is predicted: "
            "use policy=missing or policy=error"
        )
    return rules
