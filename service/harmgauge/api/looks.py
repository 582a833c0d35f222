"""Operators' views of one bundle, as bytes: built once and shared by everyone who asks at the same time."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from harmgauge.api.answer import Piece, binary_pieces, json_pieces
from harmgauge.api.columns import columns_body
from harmgauge.api.places import Pieces
from harmgauge.api.shared import Shared
from harmgauge.api.state import DriftAnswer, InfoAnswer, drift_answer
from harmgauge.bundle.load import Bundle
from harmgauge.drift.embedding_view import EmbeddingView
from harmgauge.drift.feature_mmd import FeatureMmd
from harmgauge.drift.monitor import Monitor
from harmgauge.drift.state import DriftState
from harmgauge.drift.window import Held
from harmgauge.observe.bundle_metrics import BundleMetrics

TOTAL_ROWS = "X-Harmgauge-Total-Rows"
"""Rows of features since the detector started, so that a polling client can tell which ones are new."""


class Looks:
    """The responses of `/drift`, `/drift?scores=true`, `/drift/columns`, `/drift/features` and `/drift/embedding` (None
    if the bundle has none of these), and the bundle's part of `/metrics`; also those of `/info`, which for keys that
    get only flags omit the threshold and the figures of the error probability.
    """

    def __init__(
        self,
        bundle: Bundle,
        monitor: Monitor,
        metrics: BundleMetrics,
        embedding_view: EmbeddingView | None,
        info: InfoAnswer,
    ) -> None:
        self._bundle = bundle
        self._monitor = monitor
        self._metrics = metrics
        self.metrics = Shared(self._exposition)
        self.drift = Shared(self._drift)
        self.scores = Shared(self._scores)
        self.columns = None if monitor.columns() is None else Shared(self._columns)
        self.features: Shared[Pieces] | None = None
        self.embedding: Shared[bytes] | None = None
        detector = monitor.find(FeatureMmd)
        if detector is not None:
            self.features = Shared(lambda: self._features(detector))
        if embedding_view is not None:
            self.embedding = Shared(lambda: self._embedding(embedding_view))
        self.info = info.as_json(sees_scores=True)
        self.flags_info = info.as_json(sees_scores=False)

    async def _exposition(self) -> bytes:
        states, accuracy = await self._monitor.states(), await self._monitor.accuracy()
        sources, columns = self._monitor.sources(), self._monitor.columns()
        return await asyncio.to_thread(self._metrics.exposition, states, accuracy, sources, columns)

    async def _drift(self) -> bytes:
        return (await self._answer(await self._monitor.states())).model_dump_json(by_alias=True).encode()

    async def _answer(self, states: Mapping[str, DriftState]) -> DriftAnswer:
        return drift_answer(self._bundle, states, await self._monitor.accuracy())

    async def _columns(self) -> bytes:
        view = self._monitor.columns()
        assert view is not None
        return await asyncio.to_thread(columns_body, self._bundle.manifest, view)

    async def _scores(self) -> Pieces:
        states = await self._monitor.states()
        document: dict[str, Any] = (await self._answer(states)).model_dump(mode="json", by_alias=True)
        for name, state in states.items():
            if state.scores is not None:
                document["detectors"][name]["scores"] = state.scores
        return Pieces(await asyncio.to_thread(_listed, document))

    async def _features(self, detector: FeatureMmd) -> Pieces:
        self._monitor.catch_up()
        rows, recent = detector.total_rows, detector.recent()
        return Pieces(await asyncio.to_thread(_npy_pieces, recent), {TOTAL_ROWS: str(rows)})

    async def _embedding(self, view: EmbeddingView) -> bytes:
        manifest = self._bundle.manifest
        document = {"model": manifest.name, "version": manifest.version, "reference": view.reference}
        return orjson.dumps({**document, "recent": await view.recent()})


def _listed(document: dict[str, Any]) -> list[Piece]:
    return list(json_pieces(document))


def _npy_pieces(held: Held) -> list[Piece]:
    array = held.joined()
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    return [head.getvalue(), *binary_pieces(array)]
