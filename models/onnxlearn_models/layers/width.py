"""The width inside a block, given as such or as a multiple of the width between the blocks."""

from __future__ import annotations

from onnxlearn.errors import ParameterError


def require_one_width(name: str, width: int | None, multiplier: float | None) -> None:
    """Raises: ParameterError where the width is given in both ways.

    >>> require_one_width("d_hidden", 256, None)
    """
    if width is not None and multiplier is not None:
        raise ParameterError(
            f"{name} and {name}_multiplier both set the width inside a block: got {width} and {multiplier:g}; give one of them"
        )


def hidden_width(d_block: int, width: int | None, multiplier: float | None, usual: float) -> int:
    """The width itself, or ``d_block`` times the multiplier, which is ``usual`` where neither is given.

    >>> hidden_width(192, None, None, 4 / 3), hidden_width(192, 100, None, 4 / 3), hidden_width(192, None, 2.0, 4 / 3)
    (256, 100, 384)
    """
    return width or max(1, int(d_block * (multiplier or usual)))
