"""Tables of alarms by the true drop in accuracy, and by whether the accuracy is below a floor."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from harmgauge_models.evaluation.work import Arrays

DROPS = (-1.0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4, 1.0)
"""Bounds of the intervals of true drops."""

HARMLESS_DROP = 0.02
"""Sets that lose no more accuracy than this are harmless: they should raise no alarm."""

FLOORS_BELOW_CLEAN = (0.025, 0.075, 0.125, 0.225, 0.325)
"""Distances of the tested floors below the accuracy on clean rows."""

FLOOR_MARGIN = 0.03
"""A set whose accuracy is less than this below the floor does not count as missed."""

TRAFFIC = {"single": "one row per request", "requests": "1 to 20 rows per request"}
DETECTORS = {"harm": "harm", "evidence": "score_evidence"}


@dataclass(frozen=True)
class SetAlarms:
    """A set with its true `accuracy` and the rows until each alarm, from `Alarms.rows_until`.

    The first bound of harm is that of a drop, each further one is that of a floor.
    """

    name: str
    accuracy: float
    until: Arrays

    def rows(self, detector: str, traffic: str) -> npt.NDArray[np.int64]:
        """Rows until the alarm on a drop, (streams,)."""
        found = self.until[f"{detector}_{traffic}"]
        return found[0] if detector == "harm" else found


def by_drop(sets: list[SetAlarms], clean_accuracy: float, stream_rows: int) -> list[dict[str, Any]]:
    """For each interval of true drops that contains sets, and for all harmless sets: `above`, `up_to`, the number of
    `sets`, and the alarms by traffic and detector.
    """
    drops = np.array([clean_accuracy - one.accuracy for one in sets])
    spans = [*pairwise(DROPS), (DROPS[0], HARMLESS_DROP)]
    tables = []
    for above, up_to in spans:
        own = [one for one, drop in zip(sets, drops, strict=True) if above < drop <= up_to]
        if own:
            tables.append({"above": above, "up_to": up_to, "sets": len(own)} | _alarms(own, stream_rows))
    return tables


def by_set(sets: list[SetAlarms], clean_accuracy: float, stream_rows: int) -> list[dict[str, Any]]:
    """The true `drop` of each set and its alarms by detector, with one row per request."""
    return [
        {"name": one.name, "drop": round(clean_accuracy - one.accuracy, 5)}
        | {name: summary(one.rows(detector, "single"), stream_rows) for detector, name in DETECTORS.items()}
        for one in sets
    ]


def _alarms(sets: list[SetAlarms], stream_rows: int) -> dict[str, Any]:
    return {
        traffic: {
            name: summary(np.concatenate([one.rows(detector, traffic) for one in sets]), stream_rows)
            for detector, name in DETECTORS.items()
        }
        for traffic in TRAFFIC
    }


def summary(until: npt.NDArray[np.int64], stream_rows: int) -> dict[str, Any]:
    """Share of the streams with an alarm, and the mean and median rows until it; None if there is none.

    `until` (streams,) is above `stream_rows` for streams without an alarm.
    """
    alarms = until[until <= stream_rows]
    return {
        "streams": len(until),
        "alarms": round(len(alarms) / len(until), 5),
        "mean_rows": round(float(alarms.mean()), 1) if len(alarms) else None,
        "median_rows": float(np.median(alarms)) if len(alarms) else None,
    }


def by_floor(sets: list[SetAlarms], floors: list[float], stream_rows: int) -> list[dict[str, Any]]:
    """For each floor, with one row per request: the number of sets above it and how many of those raise a false alarm,
    and the number of sets more than FLOOR_MARGIN below it and how many of those are missed.

    A set raises an alarm if most of its streams do.
    """
    tables = []
    for number, floor in enumerate(floors, 1):
        alarms = [bool(np.mean(one.until["harm_single"][number] <= stream_rows) > 0.5) for one in sets]
        above = [alarm for one, alarm in zip(sets, alarms, strict=True) if one.accuracy >= floor]
        below = [alarm for one, alarm in zip(sets, alarms, strict=True) if one.accuracy < floor - FLOOR_MARGIN]
        tables.append(
            {
                "floor": floor,
                "above": len(above),
                "false": sum(above),
                "below": len(below),
                "missed": len(below) - sum(below),
            }
        )
    return tables
