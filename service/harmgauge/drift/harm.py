"""`harm`: the alarm on the estimated accuracy, which ignores drift that does not lower it.

It raises the alarm if the mean of P(wrong) exceeds `bound`. The guarantee is about P, and extends to accuracy as far as
P is right. So the alarm reports that the *estimate* of accuracy has fallen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from harmgauge.bundle.load import Bundle
from harmgauge.drift import dumped as read
from harmgauge.drift import harm_bound
from harmgauge.drift import harm_evidence as evidence
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.latched import Latched
from harmgauge.drift.recent_clients import RecentClients
from harmgauge.drift.state import Blocks, DriftState
from harmgauge.errors import SettingsError
from harmgauge.settings import Settings

log = logging.getLogger(__name__)


def from_bundle(bundle: Bundle, settings: Settings) -> Harm | None:
    """None if the bundle has no P(wrong) and no setting requests the alarm.

    Raises SettingsError if a setting requests an alarm that is impossible; otherwise its owner would rely on it.
    """
    harm_bound.check_settings(settings)
    found, asked = bundle.error_probability, harm_bound.asked_by(settings)
    if found is None:
        if asked is not None:
            raise SettingsError(
                f"{asked} is set, but has no effect: {bundle.path} gives no error probability "
                f"({bundle.no_error_probability}): unset {asked}, or serve a bundle that gives one"
            )
        return None
    bound = harm_bound.bound_of(found, settings)
    if bound >= 1 and asked is None:
        log.warning(
            "%s: the detector %s is off: the classifier is hardly ever right on clean rows", bundle.path, Harm.name
        )
        return None
    between = settings.rows_between_false_alarms or bundle.manifest.drift.rows_between_false_alarms
    try:
        harm = Harm(found.base, bound, found.rows, between)
    except ValueError as error:
        name = asked or "HARMGAUGE_ACCURACY_DROP"
        raise SettingsError(f"{name} or HARMGAUGE_ROWS_BETWEEN_FALSE_ALARMS: {error}") from error
    log.info(
        "%s raises the alarm if the estimate of accuracy falls below %.4g, by more than %.4g",
        harm.name,
        1 - bound,
        bound - found.base,
    )
    return harm


class Harm:
    """The sequential alarm on the mean of P(wrong). The rows of a request are one block; a named client counts once
    among recent requests.

    `base` is the mean of P on clean traffic, measured on `base_rows` rows, and `bound` the largest harmless mean of P.
    The alarm stays until `reset`. Raises ValueError if such an alarm is impossible.
    """

    name = "harm"
    gauges: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        base: float,
        bound: float,
        base_rows: int,
        rows_between_false_alarms: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not evidence.LEAST_BOUND <= bound < 1:
            raise ValueError(
                f"the alarm would be raised at an estimate of accuracy below {1 - bound:.7g}; expected above 0 and at "
                f"most {1 - evidence.LEAST_BOUND:.7g}"
            )
        if rows_between_false_alarms < 100:
            raise ValueError(f"{rows_between_false_alarms} rows between false alarms are too few: set at least 100")
        self._base = base
        self._bound = bound
        self._base_rows = base_rows
        self._rows_between_false_alarms = rows_between_false_alarms
        self._now = now
        self._at_once = evidence.blocks_at_once(bound)
        self._clients = RecentClients()
        self._version = 0
        self.logs: npt.NDArray[np.float64] = np.zeros((2, len(evidence.STAKES)))
        """Sums of log gains and log losses by stake since the detector was created, for counters, which must never
        decrease. Arrays are replaced, never modified.
        """
        self.reset()

    def reset(self) -> None:
        """Acknowledge the alarm: resets the evidence to zero."""
        self._wealth: npt.NDArray[np.float64] = np.zeros(len(evidence.STAKES))
        self._rows = 0
        self._version += 1
        self._alarm = Latched(self._now())

    @property
    def bound(self) -> float:
        """The largest harmless mean of P."""
        return self._bound

    @property
    def version(self) -> int:
        return self._version

    def observe(self, blocks: Blocks) -> None:
        if blocks.error_probability is None:
            return
        blocks = self._clients.once_each(blocks)
        if not len(blocks.rows) or blocks.error_probability is None:
            return
        factor = evidence.factors(evidence.means(blocks.error_probability, blocks.rows), self._bound)
        self._wealth, values = evidence.bet(self._wealth, factor, blocks.rows, self._at_once)
        self.logs = self.logs + evidence.logs(factor)
        self._rows += len(blocks.error_probability)
        self._version += 1
        before = self._alarm
        self._alarm = before.after(float(values.max()), self._rows_between_false_alarms, self._now)
        if self._alarm.drifting and not before.drifting:
            log.warning(
                "%s is drifting: the estimate of accuracy has fallen by more than %.4g, below %.4g; evidence %.3g",
                self.name,
                self._bound - self._base,
                1 - self._bound,
                self._alarm.highest,
            )

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "wealth": self._wealth,
            "bound": np.array(self._bound),
            "rows": np.array(self._rows),
            "clients": self._clients.dump(),
            **self._alarm.dump(),
        }

    def restore(self, dumped: Dumped) -> None:
        """Evidence against a different `bound` does not count against this one, and is discarded."""
        bound = read.number(dumped, "bound", evidence.LEAST_BOUND, 1)
        rows = read.whole(dumped, "rows", 0, read.MOST_ROWS)
        wealth = read.within(dumped, "wealth", self._wealth.shape, 0, evidence.MOST)
        if not evidence.can_have_led_to(wealth, rows):
            raise ValueError("no rows can have led to this evidence")
        alarm = Latched.read(dumped, float(wealth.mean()), evidence.MOST)
        self._clients = RecentClients.read(dumped, "clients")
        if bound != self._bound:
            log.info(
                "%s starts again: its saved evidence was for an accuracy below %.7g, but the limit is now %.7g",
                self.name,
                1 - bound,
                1 - self._bound,
            )
            return
        self._wealth, self._rows, self._alarm = wealth, rows, alarm
        self._version += 1

    async def state(self) -> DriftState:
        """`details`: `highest`, the peak of the evidence since it started at zero; `accuracy_drop`, the tolerated fall
        of the accuracy estimate, and `accuracy_limit`, the accuracy after such a fall.
        """
        return DriftState(
            state=self._alarm.state,
            p_value=None,
            statistic=float(self._wealth.mean()),
            threshold=float(self._rows_between_false_alarms),
            window_rows=None,
            rows=self._rows,
            reference_rows=self._base_rows,
            rows_between_false_alarms=self._rows_between_false_alarms,
            since=self._alarm.since,
            total_rows=self._rows,
            details={
                "highest": self._alarm.highest,
                "accuracy_drop": round(self._bound - self._base, 9),
                "accuracy_limit": round(1 - self._bound, 9),
            },
        )
