"""Whoever waits for an answer, as far as inference cares."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from service.inference.progress import Progress


def _stays() -> bool:
    return False


class Origin(NamedTuple):
    """Names a request for whoever asks later: its id, its route as metrics call it, the name of its key if any."""

    request_id: str = ""
    route: str = ""
    key_name: str = ""


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class Caller:
    """Waits until `deadline`, in seconds of the event loop's clock, unless `left()` says that it gave up before.

    `left` is asked just before rows would cost inference, and once more before an answer counts: it must be cheap.
    """

    deadline: float = math.inf
    left: Callable[[], bool] = _stays
    client: str | None = None
    """The key that it gave itself: requests of one client are not independent of each other."""
    origin: Origin = NOWHERE
    progress: Progress | None = None
    """To be filled, where somebody wants to know how far it came."""


PATIENT = Caller()
"""Waits for ever."""
