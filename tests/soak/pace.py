"""The schedule: how often each fault occurs, and the phases of a soak."""

from __future__ import annotations

PHASES = (("storm", 0.3), ("calm", 0.6), ("light", 0.7), ("storm", 1.0))
"""Each phase ends at that share of the time. In a storm, bundles are swapped all the time, which renews everything that
belongs to one; in the calm, one bundle serves under full load; in the light phase, there is one request at a time, so
that nothing ever queues.
"""

CALM_BEGINS, LIGHT_ENDS = PHASES[0][1], PHASES[2][1]


class Pace:
    """Seconds between two faults of a kind, for a soak of this length. A short one has all kinds as well."""

    def __init__(self, minutes: float) -> None:
        share = min(1.0, minutes / 15)
        self._seconds = minutes * 60
        self.swap = max(3.0, 10 * share)
        self.hang_up = max(5.0, 60 * share)
        self.keys = max(8.0, 90 * share)
        self.shadow = max(3.0, 20 * share)
        self.restart = max(8.0, 30 * share)

    def phase(self, seconds: float) -> str:
        """The phase after this many seconds."""
        return next((name for name, end in PHASES if seconds < end * self._seconds), "storm")
