"""Order statistics of reference rows, which are all that exact rank bets need of them.

A half-line is the part of a variable's distribution above, or below, one order statistic of the reference. A new value
falls into it with a probability that depends only on the rank of that order statistic, whatever the distribution. With
ties this holds too, if each value has a jitter, a random number that breaks them: once for reference rows, anew for
others. `docs/drift.md` has the proof. A sketch or histogram would not be exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


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


def half_lines(rows: int, levels: int) -> npt.NDArray[np.intp]:
    """How many of the rows + 1 rank gaps the half-line of each level contains, (levels,), at least one each."""
    sizes: npt.NDArray[np.intp] = np.maximum(1, np.rint((rows + 1) * 0.5 ** np.arange(1, levels + 1))).astype(np.intp)
    return sizes


def _boundaries(reference: Float64, levels: int, random: np.random.Generator) -> tuple[Float64, Float64]:
    jitters = random.random(len(reference))
    order = np.lexsort((jitters, reference))
    sizes = half_lines(len(reference), levels)
    picked = order[np.concatenate([len(reference) - sizes, sizes - 1])]
    return reference[picked], jitters[picked]
