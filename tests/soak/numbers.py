"""Numbers for inputs: each one once, in an order that looks random."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

NUMBERS = 2**24
"""The count of numbers, from 0 on: whole numbers that float32 can represent."""

_BLOCK = 4096


def scramble(counters: npt.NDArray[np.integer], seed: int = 0) -> npt.NDArray[np.int64]:
    """Maps counters (n,) below NUMBERS to numbers (n,) int64, one to one.

    Multiplication by odd numbers and shifted exclusive ors are invertible in 24 bits, so their composition is a
    permutation.
    """
    mask = NUMBERS - 1
    x = (counters.astype(np.int64) + seed) & mask
    for multiplier, shift in ((0x9E3779B1, 13), (0x85EBCA6B, 11), (0xC2B2AE35, 12)):
        x = (x * multiplier) & mask
        x ^= x >> shift
    return x


def numbers(first: int, end: int, seed: int = 0) -> Iterator[int]:
    """The numbers of the counters from `first` to `end` - 1."""
    for begin in range(first, end, _BLOCK):
        yield from scramble(np.arange(begin, min(begin + _BLOCK, end)), seed).tolist()
