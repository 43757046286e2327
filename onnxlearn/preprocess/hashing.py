"""Feature hashing: the levels of a column share a number of buckets."""

from __future__ import annotations

from collections.abc import Sequence

from onnxlearn.schema import Level

_WORD = 0xFFFFFFFF


def buckets(levels: Sequence[Level], n_buckets: int) -> list[int]:
    """The bucket of each level: that of its text in scikit-learn's ``FeatureHasher``.

    >>> buckets(["red", "green", "blue"], 8)
    [3, 6, 5]
    """
    return [_bucket(str(level), n_buckets) for level in levels]


def _bucket(text: str, n_buckets: int) -> int:
    number = murmur_hash(text.encode("utf-8", "surrogatepass"))
    signed = number - (number >> 31 << 32)
    return abs(signed) % n_buckets


def murmur_hash(data: bytes) -> int:
    """MurmurHash3 of 32 bits with seed 0 (Appleby 2011), as a number from 0.

    >>> murmur_hash(b"foo")
    4138058784
    """
    state = 0
    for start in range(0, len(data), 4):
        block = data[start : start + 4]
        state ^= _mixed(int.from_bytes(block, "little"))
        if len(block) == 4:
            state = (_rotated(state, 13) * 5 + 0xE6546B64) & _WORD
    state ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        state = (state ^ state >> shift) * factor & _WORD
    return state ^ state >> 16


def _mixed(block: int) -> int:
    return _rotated(block * 0xCC9E2D51 & _WORD, 15) * 0x1B873593 & _WORD


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & _WORD
