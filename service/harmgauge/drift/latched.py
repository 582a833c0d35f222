"""An alarm that stays until it is acknowledged, with the peak of the evidence behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from harmgauge.drift import dumped as read
from harmgauge.drift.dumped import Dumped
from harmgauge.drift.state import State


@dataclass(frozen=True)
class Latched:
    """An alarm; `highest` is the peak of the evidence since it started at zero; `since` is the start of the current
    state.
    """

    since: datetime
    highest: float = 0.0
    drifting: bool = False

    @property
    def state(self) -> State:
        return "drifting" if self.drifting else "ok"

    def after(self, value: float, threshold: float, now: Callable[[], datetime]) -> Latched:
        """The alarm after evidence of `value`: raised from the first value at or above `threshold`."""
        highest = max(self.highest, value)
        if self.drifting or highest < threshold:
            return Latched(self.since, highest, self.drifting)
        return Latched(now(), highest, drifting=True)

    def dump(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "highest": np.array(self.highest),
            "drifting": np.array(self.drifting),
            "since": np.array(self.since.timestamp()),
        }

    @classmethod
    def read(cls, dumped: Dumped, value: float, most: float) -> Self:
        """Read the alarm that `dump` saved with evidence of `value`, which must not exceed `most`.

        Raises ValueError.
        """
        # Rounding may put the mean of some numbers above the largest of them.
        highest = read.number(dumped, "highest", value * (1 - 1e-9), most * (1 + 1e-9))
        return cls(read.moment(dumped, "since"), highest, read.flag(dumped, "drifting"))
