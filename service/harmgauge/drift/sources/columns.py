"""The state of all sources, in arrays: a source is a row of each, about 0.7 KB in total."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from harmgauge.drift.evidence import LEVELS
from harmgauge.drift.harm_evidence import STAKES as HARM_STAKES

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

HALF_LINES = 2 * LEVELS

BOUNDS = 2
"""Bounds on each share, a near one and a far one."""

CHANGE_STAKES: Float64 = np.array([0.05, 0.15, 0.4])
"""Shares of its wealth that a gambler on change stakes on a single row. They are larger than in `evidence.py`: a source
should be named after few requests, and against bounds from few rows, bets on a small share of harmful rows gain little.
"""

_EVIDENCE = (
    "wealth", "harm_wealth", "change", "harm", "highest", "errors", "errors_weight", "is_named", "by_harm"
)  # fmt: skip
_BASELINE = ("hits", "squares", "products", "weight", "square", "bounds", "independent", "is_settled")


@dataclass(frozen=True)
class Columns:
    """For n sources, by the number of their slot. The arrays are modified in place.

    `wealth` (n, BOUNDS, HALF_LINES, stakes) and `harm_wealth` (n, stakes) of the gamblers; `change` and `harm` (n,),
    the evidence from them, and `highest` (n,), the peak of the evidence of both. `hits`, `squares`, `products`
    (n, HALF_LINES), `weight` and `square` (n,) are the sums of the baseline (`baseline.py`). Once it is complete, which
    is `is_settled` (n,), `bounds` (n, BOUNDS, HALF_LINES) and `independent` (n,), the independent rows that a row is
    worth, follow from them. `rows` (n,) since the source appeared; `errors` and `errors_weight` (n,) give the mean
    P(wrong) of its newest rows. `is_named` (n,), `by_harm` (n,), whether harm was the main evidence, and `since` (n,),
    the start of this state; `seen` (n,), the newest row. Times are seconds since 1970.
    """

    wealth: Float32
    harm_wealth: Float32
    change: Float32
    harm: Float32
    highest: Float32
    hits: Float32
    squares: Float32
    products: Float32
    weight: Float32
    square: Float32
    bounds: Float32
    independent: Float32
    is_settled: Flags
    rows: npt.NDArray[np.int64]
    errors: Float32
    errors_weight: Float32
    is_named: Flags
    by_harm: Flags
    since: Float64
    seen: Float64

    @classmethod
    def empty(cls, count: int) -> Self:
        """The columns of `count` sources without any row. The system provides their memory as it is first used."""

        def numbers(*width: int) -> Float32:
            return np.zeros((count, *width), np.float32)

        return cls(
            wealth=numbers(BOUNDS, HALF_LINES, len(CHANGE_STAKES)),
            harm_wealth=numbers(len(HARM_STAKES)),
            change=numbers(),
            harm=numbers(),
            highest=numbers(),
            hits=numbers(HALF_LINES),
            squares=numbers(HALF_LINES),
            products=numbers(HALF_LINES),
            weight=numbers(),
            square=numbers(),
            bounds=numbers(BOUNDS, HALF_LINES),
            independent=numbers(),
            is_settled=np.zeros(count, bool),
            rows=np.zeros(count, np.int64),
            errors=numbers(),
            errors_weight=numbers(),
            is_named=np.zeros(count, bool),
            by_harm=np.zeros(count, bool),
            since=np.zeros(count),
            seen=np.zeros(count),
        )

    def all(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def clear(self, slot: int) -> None:
        """Make the slot that of a new source."""
        for array in self.all().values():
            array[slot] = 0

    def forget_evidence(self, slots: npt.NDArray[np.intp]) -> None:
        """Set the evidence of these sources, and the estimate of their accuracy, to nothing."""
        for name in _EVIDENCE:
            self.all()[name][slots] = 0

    def forget_baseline(self, slots: npt.NDArray[np.intp]) -> None:
        """Let the baseline of these sources start again."""
        for name in _BASELINE:
            self.all()[name][slots] = 0
