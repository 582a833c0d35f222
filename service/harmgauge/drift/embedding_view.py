"""Positions of the features in the window relative to the reference's, in the plane of the reference's Isomap."""

from __future__ import annotations

import asyncio

from harmgauge.drift.feature_mmd import FeatureMmd
from harmgauge.drift.isomap import Embedding
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.window import Held

MOST_RECENT_ROWS = 500

Point = tuple[float, float]


class EmbeddingView:
    """Points (x, y) for the reference's features and the newest features."""

    def __init__(self, monitor: Monitor, detector: FeatureMmd, embedding: Embedding) -> None:
        self._monitor = monitor
        self._detector = detector
        self._embedding = embedding
        self._one_at_a_time = asyncio.Lock()
        self._drawn_version: int | None = None
        self._drawn: list[Point] = []
        self.reference: list[Point] = embedding.coordinates.round(4).tolist()

    async def recent(self) -> list[Point]:
        """The newest features in the window, oldest first."""
        self._monitor.catch_up()
        async with self._one_at_a_time:  # everyone who asked in the meantime gets the same points
            if self._drawn_version != self._detector.version:
                version, rows = self._detector.version, self._detector.recent()
                self._drawn = await asyncio.to_thread(_place, self._embedding, rows)
                self._drawn_version = version
            return self._drawn


def _place(embedding: Embedding, held: Held) -> list[Point]:
    rows = held.joined()[-MOST_RECENT_ROWS:]
    points: list[Point] = embedding.transform(rows).round(4).tolist() if len(rows) else []
    return points
