"""The data that only the live page shows, as JSON documents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from harmgauge.api.columns import column_answers
from harmgauge.api.sources import source_answers
from harmgauge.api.state import drift_answer
from harmgauge.bundle.load import Bundle
from harmgauge.drift.columns.view import View as ColumnsView
from harmgauge.drift.embedding_view import EmbeddingView
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.sources.view import View as SourcesView
from harmgauge.page.histogram import bucket_edges, shares
from harmgauge.page.recorder import HISTORY_SECONDS, Recorder, flagged_share

RECENT_SAMPLES = 12
"""Included in every state, so that a polling client needs the whole history only at the start or after a pause."""

MOST_RANKED = 20
"""Sources or columns in a table: those that drift, and then those with the most evidence."""


class Overview:
    """The documents about one bundle: `about` never changes, the others do."""

    def __init__(
        self,
        bundle: Bundle,
        monitor: Monitor,
        recorder: Recorder,
        embedding_view: EmbeddingView | None,
        *,
        corrects: bool,
    ) -> None:
        self._bundle = bundle
        self._monitor = monitor
        self._recorder = recorder
        self._embedding_view = embedding_view
        self._corrects = corrects
        self._threshold = float(bundle.threshold)
        self._edges = bucket_edges(bundle.reference.scores, self._threshold)
        self._started = time.time()

    async def about(self) -> dict[str, Any]:
        """The constant facts: the threshold, the reference, and the recorder's times."""
        reference = self._bundle.reference.scores
        return {
            "started": self._started,
            "threshold": self._threshold,
            "normal_flagged_share": self._bundle.reference_flagged_share,
            "corrects": self._corrects,
            "bucket_edges": self._edges,
            "reference_rows": len(reference),
            "reference_shares": shares(reference, self._edges),
            "reference_points": None if self._embedding_view is None else self._embedding_view.reference,
            "sample_seconds": self._recorder.sample_seconds,
            "history_seconds": HISTORY_SECONDS,
        }

    async def state(self) -> dict[str, Any]:
        """Detectors and accuracy as in `GET /drift`, sources, columns, scores in the window, and the newest samples."""
        states = await self._monitor.states()
        drift = drift_answer(self._bundle, states, await self._monitor.accuracy())
        scores = next((state.scores for state in states.values() if state.scores is not None), None)
        window = flagged = None
        if scores is not None and len(scores):  # 27 ms for a window of a million rows
            window = await asyncio.to_thread(shares, scores, self._edges)
            flagged = await asyncio.to_thread(flagged_share, states, self._threshold)
        return {
            "started": self._started,
            "time": time.time(),
            **drift.model_dump(mode="json", by_alias=True, include={"detectors", "accuracy", "accuracy_missing"}),
            "sources": await self._sources(),
            "columns": await self._columns(),
            "window_rows": 0 if scores is None else len(scores),
            "window_shares": window,
            "flagged_share": flagged,
            "recent": self._recorder.history.newest(RECENT_SAMPLES),
        }

    async def _sources(self) -> dict[str, Any] | None:
        """None without a source."""
        view = self._monitor.sources()
        return await asyncio.to_thread(_sources_table, view) if view else None

    async def _columns(self) -> dict[str, Any] | None:
        """None without sketches; also if only the predicted class is monitored, and has not changed."""
        view = self._monitor.columns()
        if view is None or not (view.drifting or len(view.monitored) > 1):
            return None
        return await asyncio.to_thread(_columns_table, view)

    async def history(self) -> dict[str, Any]:
        """All recorded samples, column by column."""
        return self._recorder.history.newest()

    async def embedding(self) -> dict[str, Any]:
        """Positions of the recent features; None if the bundle has no embedding."""
        return {"recent_points": None if self._embedding_view is None else await self._embedding_view.recent()}


def _sources_table(view: SourcesView) -> dict[str, Any]:
    return _table(len(view), view, source_answers(view, view.select()[:MOST_RANKED]))


def _columns_table(view: ColumnsView) -> dict[str, Any]:
    return _table(len(view.monitored), view, column_answers(view, MOST_RANKED))


def _table(monitored: int, view: SourcesView | ColumnsView, answers: Sequence[BaseModel]) -> dict[str, Any]:
    return {
        "monitored": monitored,
        "drifting": view.drifting,
        "threshold": view.threshold,
        "rows": [answer.model_dump(mode="json") for answer in answers],
    }
