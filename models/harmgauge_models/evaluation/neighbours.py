"""A baseline that uses only the rows: the distance to the nearest reserved clean rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.bundle.rows import Array

Float32 = npt.NDArray[np.float32]

NEAREST = 10
MOST_REFERENCE_ROWS = 2000
_CHUNK_ROWS = 500

On = Literal["features", "inputs"]


@dataclass(frozen=True)
class Neighbours:
    """Clean rows `reference` (m, d), in which NaN is a missing value; `on` is their kind, features or inputs."""

    reference: Float32
    on: On

    def distances(self, rows: Array) -> npt.NDArray[np.float64]:
        """Mean distance of each of `rows` (n, *shape) to its NEAREST nearest reference rows, (n,)."""
        reference, lengths = self._placed
        nearest = min(NEAREST, len(reference))
        found = []
        for start in range(0, len(rows), _CHUNK_ROWS):
            some = self._place(rows[start : start + _CHUNK_ROWS])
            squares = np.square(some).sum(1)[:, None] + lengths - 2 * some @ reference.T
            found.append(np.sqrt(np.partition(squares, nearest - 1, 1)[:, :nearest].clip(0)).mean(1))
        return np.concatenate(found).astype(np.float64)

    @cached_property
    def _scale(self) -> tuple[Float32, Float32]:
        """Median and spread of each column, (d,); the spread is the standard deviation if half of the values are
        equal.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # columns with only NaN have no median
            medians = np.nan_to_num(np.nanmedian(self.reference, axis=0))
        filled = np.where(np.isnan(self.reference), medians, self.reference)
        low, middle, high = np.quantile(filled, (0.16, 0.5, 0.84), axis=0)
        deviation = filled.std(0)
        spread = np.where(high > low, (high - low) / 2, np.where(deviation > 0, deviation, 1))
        return middle.astype(np.float32), spread.astype(np.float32)

    @cached_property
    def _placed(self) -> tuple[Float32, Float32]:
        placed = self._place(self.reference)
        return placed, np.square(placed).sum(1)

    def _place(self, rows: Array) -> Float32:
        """asinh of the standardised values, so that outliers do not hide the rest; (n, 2 d), because missing values are
        replaced by the median and marked.
        """
        middle, spread = self._scale
        values = rows.reshape(len(rows), -1).astype(np.float32)
        absent = np.isnan(values)
        placed = np.where(absent, 0, np.arcsinh((values - middle) / spread))
        return (np.hstack([placed, absent]) if self._has_gaps else placed).astype(np.float32)

    @cached_property
    def _has_gaps(self) -> bool:
        return bool(np.isnan(self.reference).any())


def neighbours(bundle: Bundle, apart: Array | None) -> Neighbours | None:
    """Neighbours in the reference's features if the bundle has them, otherwise in the reserved clean rows `apart` (m,
    *shape).
    """
    features = bundle.reference.features
    if features is not None:
        return Neighbours(_some(features), "features")
    return None if apart is None else Neighbours(_some(apart.reshape(len(apart), -1)), "inputs")


def _some(rows: Array) -> Float32:
    picked = np.random.default_rng(0).permutation(len(rows))[:MOST_REFERENCE_ROWS]
    return rows[np.sort(picked)].astype(np.float32)
