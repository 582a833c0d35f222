"""Order statistics of reference rows, which are all that exact rank bets need of them.

A half-line is the part of a variable's distribution above, or below, one order statistic of the reference. A new value
falls into it with a probability that depends only on the rank of that order statistic, whatever the distribution. With
ties this holds too, if each value has a jitter, a random number that breaks them: once for reference rows, anew for
others. `docs/drift.md` has the proof. A sketch or histogram would not be exact.

Values are compared in float32, so that a value and its jitter together are one float64, its *key*: comparing two keys
takes half the time of comparing values, and jitters of equal ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


JITTER_BITS = 29
"""The bits of a float64 that are zero in every float32."""

_LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True)
class Boundaries:
    """The half-lines of T variables: `values` and `jitters` (2 * levels, T) are the order statistics that bound them,
    upper ones first, `rows` (T,) the number of known reference values.

    Level l contains a share of about 2 ** -l of the reference, at its upper and at its lower end.
    """

    values: Float64
    jitters: Float64
    rows: npt.NDArray[np.int64]

    @property
    def levels(self) -> int:
        return len(self.values) // 2

    @property
    def sizes(self) -> Float64:
        """How many of the rows + 1 rank gaps each half-line contains, (2 * levels, T)."""
        one_side = (
            np.stack([half_lines(int(rows), self.levels) for rows in self.rows], axis=1)
            if len(self.rows)
            else (np.empty((self.levels, 0), np.intp))
        )
        return np.concatenate([one_side, one_side]).astype(np.float64)

    @cached_property
    def keys(self) -> Float64:
        """The order statistics as `keys_of` compares them, (2 * levels, T)."""
        bits = (self.jitters * 2**JITTER_BITS).astype(np.uint64)
        # The bits of a negative number count downwards.
        return keys_of(self.values, np.where(self.values < 0, 2**JITTER_BITS - 1 - bits, bits))

    @classmethod
    def of(cls, references: Sequence[Float64], levels: int, random: np.random.Generator) -> Self:
        """The boundaries of variables, given all known reference values of each, at least one."""
        found = [_boundaries(reference, levels, random) for reference in references]
        empty = np.empty((2 * levels, 0))
        return cls(
            np.stack([values for values, _ in found], axis=1) if found else empty,
            np.stack([jitters for _, jitters in found], axis=1) if found else empty,
            np.array([len(reference) for reference in references], np.int64),
        )

    def only(self, places: npt.NDArray[np.intp]) -> Self:
        """Those of the variables at `places`."""
        return type(self)(self.values[:, places], self.jitters[:, places], self.rows[places])

    def check(self) -> None:
        """Raises ValueError if no reference can have these order statistics."""
        shape = self.values.shape
        if len(shape) != 2 or self.jitters.shape != shape or self.rows.shape != shape[1:]:
            raise ValueError(f"order statistics have shapes {shape}, {self.jitters.shape} and {self.rows.shape}")
        if not np.isfinite(self.values).all() or not ((self.jitters >= 0) & (self.jitters < 1)).all():
            raise ValueError("order statistics must be finite, and their jitters from 0 to below 1")
        lowest_first = np.concatenate([np.arange(2 * self.levels - 1, self.levels - 1, -1), np.arange(self.levels)])
        values, jitters = self.values[lowest_first], self.jitters[lowest_first]
        falls = (np.diff(values, axis=0) < 0) | ((np.diff(values, axis=0) == 0) & (np.diff(jitters, axis=0) < 0))
        # The smallest halves may overlap by a row: the lower half's boundary is then above the upper half's.
        falls[self.levels - 1] = False
        if falls.any():
            raise ValueError("order statistics must ascend")


def rounded(values: Float64) -> Float64:
    """Values as they are compared: in float32, those beyond its range at its ends, and NaN as it is."""
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    np.clip(found, -_LARGEST, _LARGEST, out=found)
    exact: Float64 = np.add(found, np.float32(0), out=np.empty(values.shape))  # -0 equals 0
    return exact


def keys_of(values: Float64, bits: npt.NDArray[np.uint64]) -> Float64:
    """Numbers in the order of `values` in float32, and of equal ones in that of `bits`, below 2 ** JITTER_BITS; of
    negative ones in the reverse order of the bits.
    """
    found = rounded(values)
    found.view(np.uint64)[...] |= bits
    return found


def half_lines(rows: int, levels: int) -> npt.NDArray[np.intp]:
    """How many of the rows + 1 rank gaps the half-line of each level contains, (levels,), at least one each."""
    sizes: npt.NDArray[np.intp] = np.maximum(1, np.rint((rows + 1) * 0.5 ** np.arange(1, levels + 1))).astype(np.intp)
    return sizes


def _boundaries(reference: Float64, levels: int, random: np.random.Generator) -> tuple[Float64, Float64]:
    reference, jitters = rounded(reference), random.random(len(reference))
    order = np.lexsort((jitters, reference))
    sizes = half_lines(len(reference), levels)
    picked = order[np.concatenate([len(reference) - sizes, sizes - 1])]
    return reference[picked], jitters[picked]
