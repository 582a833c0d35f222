"""Simulates the alarms of `harm` and `score_evidence` in streams of rows of one set."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harmgauge.drift import evidence, harm_evidence
from harmgauge_models.evaluation.accuracy.judged import Float64, Judged
from harmgauge_models.evaluation.work import Arrays

Rows = npt.NDArray[np.intp]

_BLOCKS_AT_ONCE = 500
"""Number of blocks between two checks for an alarm."""

MOST_REQUEST_ROWS = 20
"""Maximum rows per request; all sizes from 1 to this are equally frequent."""


@dataclass(frozen=True)
class Alarms:
    """The alarms as the service configures them: `harm` with several bounds of the mean error probability, and
    `score_evidence` against the `reference` scores with its `tolerance`; all with `rows_between_false_alarms`.
    """

    bounds: tuple[float, ...]
    reference: Float64
    tolerance: float
    rows_between_false_alarms: float

    def rows_until(self, one: Judged, *, streams: int, stream_rows: int, seed: int) -> Arrays:
        """Rows until each alarm in streams of rows drawn from `one` with replacement; `stream_rows` + 1 without an
        alarm.

        "harm_single" and "evidence_single" are for requests of one row, "harm_requests" and "evidence_requests" for
        requests of 1 to MOST_REQUEST_ROWS rows; (bounds, streams) for harm, (streams,) for evidence.
        """
        found: dict[str, list[list[int]]] = {"harm_single": [], "harm_requests": []}
        by_evidence: dict[str, list[int]] = {"evidence_single": [], "evidence_requests": []}
        one = replace(one, probabilities=None)
        for stream in range(streams):
            random = np.random.default_rng((seed, stream))
            drawn = one.take(random.integers(len(one), size=stream_rows))
            sizes = {"single": np.ones(stream_rows, np.intp), "requests": request_sizes(stream_rows, random)}
            for traffic, rows in sizes.items():
                found[f"harm_{traffic}"].append([self._harm(drawn, rows, bound) for bound in self.bounds])
                by_evidence[f"evidence_{traffic}"].append(self._evidence(drawn, rows, random))
        return {name: np.array(rows).T for name, rows in found.items()} | {
            name: np.array(rows) for name, rows in by_evidence.items()
        }

    def _harm(self, drawn: Judged, rows: Rows, bound: float) -> int:
        at_once = harm_evidence.blocks_at_once(bound)
        means = harm_evidence.means(drawn.error_probability, rows)
        wealth = np.zeros(len(harm_evidence.STAKES))
        for start in range(0, len(rows), _BLOCKS_AT_ONCE):
            part = slice(start, start + _BLOCKS_AT_ONCE)
            factors = harm_evidence.factors(means[part], bound)
            wealth, values = harm_evidence.bet(wealth, factors, rows[part], at_once)
            if values.max() >= self.rows_between_false_alarms:
                return int(rows[:start].sum()) + self._first(values, rows[part])
        return int(rows.sum()) + 1

    def _evidence(self, drawn: Judged, rows: Rows, random: np.random.Generator) -> int:
        n = len(self.reference)
        gaps = evidence.Ranks(self.reference, random).gaps(drawn.scores)
        inside, state = evidence.hits(gaps, rows, n), evidence.start(n)
        null = evidence.Null.of(n, self.tolerance)
        for start in range(0, len(rows), evidence.MAX_BLOCKS):
            part = slice(start, start + evidence.MAX_BLOCKS)
            state, values = evidence.bet(state, inside[part], rows[part].astype(float), null)
            if values.max() >= self.rows_between_false_alarms:
                return int(rows[:start].sum()) + self._first(values, rows[part])
        return int(rows.sum()) + 1

    def _first(self, values: Float64, rows: Rows) -> int:
        """Rows up to the end of the first request that raises an alarm; there must be one."""
        return int(rows[: np.argmax(values >= self.rows_between_false_alarms) + 1].sum())


def request_sizes(rows: int, random: np.random.Generator) -> Rows:
    """Random sizes of requests, 1 to MOST_REQUEST_ROWS, that sum to `rows`; the last one is cut."""
    ends = np.cumsum(random.integers(1, MOST_REQUEST_ROWS + 1, size=rows))
    ends = np.append(ends[ends < rows], rows)
    sizes: Rows = np.diff(ends, prepend=0)
    return sizes
