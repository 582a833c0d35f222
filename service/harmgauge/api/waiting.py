"""Lets a thread check whether the client is still waiting for its response."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from harmgauge.errors import CallerLeft, DeadlinePassed

Check = Callable[[], None]
"""A cheap function to call every millisecond or so; raises an exception to end the work."""


class Waiting:
    """Called by a thread that reads a body; the event loop sets `has_left`, because only the loop notices that clients
    leave.

    `deadline` is in seconds of the event loop's clock, which is the monotonic one. Raises DeadlinePassed and
    CallerLeft.
    """

    def __init__(self, deadline: float = math.inf) -> None:
        self._deadline = deadline
        self.has_left = False

    def is_over(self) -> bool:
        return self.has_left or time.monotonic() >= self._deadline

    def __call__(self) -> None:
        if self.has_left:
            raise CallerLeft
        if self.is_over():
            raise DeadlinePassed(
                "The body could not be read by the request's deadline, so the request was dropped; try again later, "
                "send less at once, or allow more time (HARMGAUGE_DEADLINE_SECONDS and the request's own deadline)."
            )


def patient() -> None:
    """A check that never ends the work."""
