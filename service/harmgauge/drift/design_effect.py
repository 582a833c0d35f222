"""Measures how correlated traffic is: the design effect of its requests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_MEMORY = 0.999
"""Factor by which each request reduces the weight of earlier ones: about 1000 requests are remembered."""


class DesignEffect:
    """The variance of the number of hits in a request over that of independent rows: 1 if the rows of a request are
    uncorrelated, their number if they are all alike (Kish, Survey Sampling, 1965).

    Only requests of two or more rows contribute.
    """

    def __init__(self) -> None:
        self._weight = 0.0
        self._rows = 0.0
        self._hits = 0.0
        self._squares = 0.0
        self._due = 0.0

    def observe(self, hits: npt.NDArray[np.float64], rows: npt.NDArray[np.intp]) -> None:
        """Add requests of `rows` (k,) scores, of which `hits` (k,) lie above the reference's median."""
        many = rows > 1
        if not many.any():
            return
        hits, rows = hits[many], rows[many]
        weights = _MEMORY ** np.arange(len(rows) - 1, -1, -1)
        fade = _MEMORY ** len(rows)
        self._rows = fade * self._rows + float(weights @ rows)
        self._hits = fade * self._hits + float(weights @ hits)
        share = self._hits / self._rows
        self._squares = fade * self._squares + float(weights @ (hits - rows * share) ** 2)
        self._due = fade * self._due + float(weights @ (rows * share * (1 - share)))
        self._weight = fade * self._weight + float(weights.sum())

    @property
    def value(self) -> float | None:
        """None before about 20 requests, and if all scores lie on one side."""
        return self._squares / self._due if self._weight >= 20 and self._due > 0 else None
