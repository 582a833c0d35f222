"""Monitors every source separately: evidence of harm, evidence of change, and an estimate of accuracy for each.

A source is named once its own evidence reaches c, the number of rows between false alarms, and stays so until it is
acknowledged. While nothing is wrong, the evidence of a source minus its rows so far is a supermartingale. So there is
on average at most one wrong name in c rows of all traffic, however many sources there are: the rows of each pay for its
own evidence. Half of the evidence bets on harm, from the first row on (`harm_evidence.py`), and half on a change
against the source's own first rows (`baseline.py`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.drift import evidence, harm_evidence
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.harm import Harm
from harmgauge.drift.sources import baseline, bets, saved
from harmgauge.drift.sources.labels import label, named
from harmgauge.drift.sources.observations import Merger, Observations
from harmgauge.drift.sources.runs import Runs, bet
from harmgauge.drift.sources.table import NOWHERE, Table
from harmgauge.drift.sources.view import View
from harmgauge.drift.state import Blocks
from harmgauge.settings import Settings

log = logging.getLogger(__name__)

Float64 = npt.NDArray[np.float64]

MEMORY_ROWS = 1000
"""The estimate of a source's accuracy is a weighted mean: after this many newer rows, a row has 1 / e of its weight."""

MOST_LOGGED = 10
"""Maximum number of newly named sources that are logged one by one."""


def from_bundle(bundle: Bundle, settings: Settings, harm: Harm | None) -> Sources | None:
    """The sources of a bundle; None if the settings turn them off. `harm` is the bundle's alarm on harm."""
    if not settings.max_sources:
        return None
    return Sources(
        bundle.reference.scores,
        settings.rows_between_false_alarms or bundle.manifest.drift.rows_between_false_alarms,
        settings.tolerance,
        None if harm is None else harm.bound,
        most=settings.max_sources,
        interval_seconds=settings.source_interval_seconds,
    )


class Sources:
    """Each request of a source is one observation, or with `interval_seconds` all of its rows within that time are.

    `reference` (n,) float64 is sorted; `tolerance` is the share of a source's rows that may be arbitrary; `bound` is
    the largest harmless mean of P(wrong), None without an alarm on harm. At most `most` sources are monitored.
    """

    def __init__(
        self,
        reference: Float64,
        rows_between_false_alarms: int,
        tolerance: float,
        bound: float | None,
        *,
        most: int = 10_000,
        interval_seconds: float = 0.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        self._reference_rows = len(reference)
        self._ranks = evidence.Ranks(reference, np.random.default_rng(seed))
        self._threshold = rows_between_false_alarms
        self._tolerance = tolerance
        self._bound = bound
        self._most = most
        self._table = self._empty()
        self._merger = Merger(interval_seconds, most, bound is not None) if interval_seconds else None
        self._now = now
        self._clock = clock
        baseline.table()  # now rather than on the event loop
        self._version = 0
        self._dumped: tuple[int, dict[str, npt.NDArray[Any]]] = (-1, {})

    @property
    def version(self) -> int:
        """Changes with every row of a source and every acknowledgement."""
        return self._version

    def observe(self, blocks: Blocks) -> None:
        """Count the requests that have a source; a client's name makes no difference here."""
        if blocks.sources is None or not any(blocks.sources):
            return
        slots = self._table.slots(blocks.sources, self._now().timestamp())
        kept = slots != NOWHERE
        if not kept.any():
            return
        if not kept.all():
            blocks, slots = blocks.only(kept), slots[kept]
        found = self._observed(blocks, slots)
        self._version += 1
        self._count(blocks, slots)
        if self._merger is not None:
            times = np.full(len(slots), self._clock()) if blocks.times is None else blocks.times
            found = self._merger.add(found, times)
        self._bet(found)

    def _empty(self) -> Table:
        # Half the logarithm of a name: clean sources seldom have so much evidence.
        return Table(self._most, protected=self._threshold**0.5, left=self._left)

    def _left(self, slot: int) -> None:
        if self._merger is not None:
            self._merger.forget(np.array([slot]))

    def _observed(self, blocks: Blocks, slots: npt.NDArray[np.intp]) -> Observations:
        gaps = self._ranks.gaps(blocks.scores.astype(np.float64))
        errors = None
        if blocks.error_probability is not None and self._bound is not None:
            errors = harm_evidence.means(blocks.error_probability, blocks.rows)
        hits = evidence.hits(gaps, blocks.rows, self._reference_rows)
        return Observations(slots, blocks.rows.astype(np.float64), hits, errors)

    def _count(self, blocks: Blocks, slots: npt.NDArray[np.intp]) -> None:
        """Count the rows, and update the estimates of accuracy."""
        columns = self._table.columns
        np.add.at(columns.rows, slots, blocks.rows)
        if blocks.error_probability is None:
            return
        order = np.argsort(slots, kind="stable")
        rows, means = blocks.rows[order], harm_evidence.means(blocks.error_probability, blocks.rows)[order]
        runs, own = Runs.of(slots[order])
        total = np.cumsum(rows)
        ends = total[runs.starts + runs.counts - 1]
        fade = 1 - 1 / MEMORY_ROWS
        weights = (1 - fade**rows) * fade ** (np.repeat(ends, runs.counts) - total)
        faded = fade ** np.add.reduceat(rows, runs.starts)
        columns.errors[own] = columns.errors[own] * faded + np.add.reduceat(weights * means, runs.starts)
        columns.errors_weight[own] = columns.errors_weight[own] * faded + np.add.reduceat(weights, runs.starts)

    def _bet(self, found: Observations) -> None:
        """Bet on complete observations, and name the sources whose evidence suffices."""
        if not len(found.slots):
            return
        columns = self._table.columns
        found = found.only(np.argsort(found.slots, kind="stable"))
        runs, own = Runs.of(found.slots)
        places = np.arange(len(found.slots)) - np.repeat(runs.starts, runs.counts)
        is_after = places >= np.repeat(self._settle(found, runs, own), runs.counts)
        # What is known before a request: nothing of its rows' dependence until the baseline is complete.
        independent = np.where(is_after, np.maximum(found.rows * columns.independent[found.slots], 1), 1)
        value = change = self._change(found, is_after, independent)
        last = runs.starts + runs.counts - 1
        columns.change[own] = change[last]
        if found.errors is not None and self._bound is not None:
            factor = bets.harm_factors(found.errors, self._bound, independent)
            wealth = columns.harm_wealth[own].astype(np.float64)
            columns.harm_wealth[own], harm = bet(wealth, factor, found.rows, runs, bets.harm)
            columns.harm[own] = harm[last]
            value = (change + harm) / 2
        peaks = np.maximum.reduceat(value, runs.starts)
        columns.highest[own] = np.maximum(columns.highest[own], peaks)
        self._name(own[(peaks >= self._threshold) & ~columns.is_named[own]])

    def _change(self, found: Observations, is_after: npt.NDArray[np.bool_], independent: Float64) -> Float64:
        """The evidence of change after each observation, (k,), which are sorted by source; 0 unless it is after the
        baseline.
        """
        columns, values = self._table.columns, np.zeros(len(found.slots))
        if is_after.any():
            found = found.only(is_after)
            runs, own = Runs.of(found.slots)
            means, bounds = found.hits / found.rows[:, None], columns.bounds[found.slots].astype(np.float64)
            factor = bets.change_factors(means, bounds, independent[is_after])
            before = columns.wealth[own].astype(np.float64)
            wealth, values[is_after] = bet(before.reshape(len(own), -1), factor, found.rows, runs, bets.change)
            columns.wealth[own] = wealth.reshape(before.shape)
        return values

    def _settle(self, found: Observations, runs: Runs, own: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Add observations to the baselines that are incomplete; returns how many of each run, (runs,)."""
        columns, taken = self._table.columns, np.zeros(len(own), np.intp)
        while len(left := np.flatnonzero(~columns.is_settled[own] & (taken < runs.counts))):
            slots, at = own[left], runs.starts[left] + taken[left]
            baseline.add(columns, slots, found.hits[at], found.rows[at])
            taken[left] += 1
            full = slots[columns.weight[slots] >= baseline.ROWS]
            full = full[baseline.independent_rows(columns, full) >= baseline.ROWS]
            baseline.settle(columns, full, self._tolerance)
        return taken

    def _name(self, slots: npt.NDArray[np.intp]) -> None:
        if not len(slots):
            return
        columns = self._table.columns
        columns.is_named[slots] = True
        columns.by_harm[slots] = columns.harm[slots] >= columns.change[slots]
        columns.since[slots] = self._now().timestamp()
        for slot in slots[:MOST_LOGGED].tolist():
            log.warning(
                "the source %r is drifting: %s, evidence %.3g",
                label(self._table.names[slot]),
                "its estimate of accuracy is too low" if columns.by_harm[slot] else "its scores have changed",
                columns.highest[slot],
            )
        if len(slots) > MOST_LOGGED:
            log.warning("%d more sources are drifting: GET /drift/sources lists them", len(slots) - MOST_LOGGED)

    def reset(self) -> None:
        """Acknowledge all sources. Their baselines stay."""
        self._acknowledge(np.arange(len(self._table)))
        self._version += 1

    def acknowledge(self, source: str, *, forget_baseline: bool = False) -> bool:
        """Set the evidence of one source, by its label, to zero; with `forget_baseline`, its next rows are its new
        normal. Returns whether the source is monitored.
        """
        slot = self._table.find(named(source))
        if slot is None:
            return False
        self._acknowledge(np.array([slot]))
        if forget_baseline:
            self._table.columns.forget_baseline(np.array([slot]))
        self._version += 1
        return True

    def _acknowledge(self, slots: npt.NDArray[np.intp]) -> None:
        self._table.columns.forget_evidence(slots)
        self._table.columns.since[slots] = self._now().timestamp()
        if self._merger is not None:
            self._merger.forget(slots)

    def view(self) -> View:
        """The state of all sources, as copies."""
        if self._merger is not None:
            found = self._merger.over(self._clock())
            self._version += bool(len(found.slots))
            self._bet(found)
        columns, count = self._table.columns, len(self._table)
        weight = columns.errors_weight[:count]
        return View(
            names=tuple(self._table.names),
            threshold=self._threshold,
            change=columns.change[:count].astype(np.float64),
            harm=None if self._bound is None else columns.harm[:count].astype(np.float64),
            is_named=columns.is_named[:count].copy(),
            by_harm=columns.by_harm[:count].copy(),
            is_settled=columns.is_settled[:count].copy(),
            rows=columns.rows[:count].copy(),
            errors=np.divide(columns.errors[:count], weight, out=np.full(count, np.nan), where=weight > 0),
            since=columns.since[:count].copy(),
            seen=columns.seen[:count].copy(),
            turned_away=self._table.turned_away,
        )

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the state. Rows of an interval that is not over are not saved."""
        if self._dumped[0] != self._version:
            table = self._table
            self._dumped = (self._version, saved.dump(table.names, table.columns, self._tolerance, self._bound))
        return self._dumped[1]

    def restore(self, dumped: Dumped) -> None:
        """Resume from a dump. Raises ValueError, and changes nothing, if it is not valid."""
        names, columns = saved.restored(saved.load(dumped), self._most, self._tolerance, self._bound)
        self._table = self._empty()
        for name, seen_seconds in zip(names, columns.seen.tolist(), strict=True):
            self._table.put(name, seen_seconds)
        count, own = len(names), self._table.columns
        for key, array in columns.all().items():
            own.all()[key][:count] = array
        own.change[:count] = bets.change(columns.wealth.reshape(count, bets.GAMBLERS).astype(np.float64))
        own.harm[:count] = bets.harm(columns.harm_wealth.astype(np.float64))
        self._version += 1
