"""`score_evidence`: the alarm with a guaranteed false alarm rate, which works from the first score and without a
window.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.drift import dumped as read
from harmgauge.drift import evidence
from harmgauge.drift.design_effect import DesignEffect
from harmgauge.drift.detectable import Detectable
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.latched import Latched
from harmgauge.drift.recent_clients import RecentClients
from harmgauge.drift.state import Blocks, DriftState
from harmgauge.errors import SettingsError
from harmgauge.settings import Settings

log = logging.getLogger(__name__)

_TIES_SEED = 0
"""Ties among reference scores are broken in the same way after every start: the fixed bounds hold, or do not, once for
each reference.
"""


def from_bundle(bundle: Bundle, settings: Settings) -> ScoreEvidence:
    """The sequential alarm of a bundle. Raises SettingsError."""
    between = settings.rows_between_false_alarms or bundle.manifest.drift.rows_between_false_alarms
    try:
        return ScoreEvidence(bundle.reference.scores, between, settings.tolerance)
    except ValueError as error:
        raise SettingsError(f"HARMGAUGE_TOLERANCE or HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS: {error}") from error


class ScoreEvidence:
    """The rows of a request are one block; a named client counts once among recent requests.

    The alarm stays until `reset`, which starts afresh with only the reference. Raises ValueError for invalid settings.
    """

    name = "score_evidence"
    gauges: ClassVar[Mapping[str, str]] = {
        "drift_direction": "Direction in which the scores moved: 1 higher, -1 lower.",
        "drift_design_effect": "Design effect of requests: 1 if the rows of a request are independent.",
    }

    def __init__(
        self,
        reference: npt.NDArray[np.float64],
        rows_between_false_alarms: int,
        tolerance: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        seed: int | None = None,
    ) -> None:
        if not 0 <= tolerance < 1:
            raise ValueError(f"a tolerance of {tolerance} is not a share of the traffic: expected 0 to below 1")
        if rows_between_false_alarms < 100:
            raise ValueError(f"{rows_between_false_alarms} rows between false alarms are too few: set at least 100")
        self._reference_rows = len(reference)
        self._rows_between_false_alarms = rows_between_false_alarms
        self._null = evidence.Null.of(len(reference), tolerance)
        self._now = now
        self._ranks = evidence.Ranks(reference, np.random.default_rng(seed), np.random.default_rng(_TIES_SEED))
        self._clients = RecentClients()
        self._version = 0
        self.reset()

    def reset(self) -> None:
        """Acknowledge the alarm: resets the evidence to zero and the urn to the reference."""
        self._evidence = evidence.start(self._reference_rows)
        self._design = DesignEffect()
        self._rows = 0
        self._version += 1
        self._alarm = Latched(self._now())

    @cached_property
    def detectable(self) -> Detectable:
        """The shares of harmful traffic that this alarm can detect."""
        return Detectable(self._reference_rows, self._null.tolerance, self._rows_between_false_alarms)

    @property
    def version(self) -> int:
        return self._version

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        urn, fixed = self._evidence.wealth
        return {
            "wealth": urn,
            "fixed_wealth": fixed,
            "counts": self._evidence.counts,
            "urn_rows": np.array(self._evidence.rows),
            "rows": np.array(self._rows),
            "clients": self._clients.dump(),
            **self._alarm.dump(),
        }

    def restore(self, dumped: Dumped) -> None:
        """A state of an earlier version has no fixed bets, which then start now, and no clients."""
        fresh = evidence.start(self._reference_rows)
        urn = read.within(dumped, "wealth", fresh.wealth[0].shape, 0, evidence.MOST)
        fixed = fresh.wealth[1]
        if "fixed_wealth" in dumped:
            fixed = read.within(dumped, "fixed_wealth", fixed.shape, 0, evidence.MOST)
        rows = read.whole(dumped, "rows", 0, read.MOST_ROWS - self._reference_rows - 1)
        found = evidence.Evidence(
            wealth=np.stack([urn, fixed]),
            counts=read.within(dumped, "counts", fresh.counts.shape, fresh.counts, fresh.counts + rows),
            rows=read.number(dumped, "urn_rows", fresh.rows + rows, fresh.rows + rows),
        )
        if not evidence.can_have_led_to(found, self._reference_rows):
            raise ValueError("this reference cannot have led to this evidence")
        alarm = Latched.read(dumped, found.value, evidence.MOST)
        self._clients = RecentClients.read(dumped, "clients")
        self._evidence, self._rows, self._alarm = found, rows, alarm
        self._version += 1

    def observe(self, blocks: Blocks) -> None:
        blocks = self._clients.once_each(blocks)
        if not len(blocks.rows):
            return
        gaps = self._ranks.gaps(blocks.scores.astype(np.float64))
        inside = evidence.hits(gaps, blocks.rows, self._reference_rows)
        self._design.observe(inside[:, 0], blocks.rows)
        self._rows += len(gaps)
        self._version += 1
        before, highest = self._alarm, 0.0
        for start in range(0, len(blocks.rows), evidence.MAX_BLOCKS):
            part = slice(start, start + evidence.MAX_BLOCKS)
            self._evidence, values = evidence.bet(
                self._evidence, inside[part], blocks.rows[part].astype(np.float64), self._null
            )
            highest = max(highest, float(values.max()))
        self._alarm = before.after(highest, self._rows_between_false_alarms, self._now)
        if self._alarm.drifting and not before.drifting:
            log.warning(
                "%s is drifting: scores are %s, evidence %.3g", self.name, self._evidence.direction, self._alarm.highest
            )

    async def state(self) -> DriftState:
        """`details`: `highest`, the peak of the evidence since it started at zero; `direction` of the scores;
        `design_effect`, the ratio of the number of scores to the number of independent ones that they are worth (None
        if there is too little traffic to estimate it); `tolerance`.
        """
        value, direction, design_effect = self._evidence.value, self._evidence.direction, self._design.value
        gauges = {"drift_direction": 1.0 if direction == "higher" else -1.0}
        if design_effect is not None:
            gauges["drift_design_effect"] = design_effect
        return DriftState(
            state=self._alarm.state,
            p_value=None,
            statistic=value,
            threshold=float(self._rows_between_false_alarms),
            window_rows=None,
            rows=self._rows,
            reference_rows=self._reference_rows,
            rows_between_false_alarms=self._rows_between_false_alarms,
            since=self._alarm.since,
            total_rows=self._rows,
            details={
                "highest": self._alarm.highest,
                "direction": direction,
                "design_effect": design_effect,
                "tolerance": self._null.tolerance,
            },
            gauges=gauges,
        )
