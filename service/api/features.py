"""What the classifier's features look like: those in the window, and where they lie among the reference's."""

from __future__ import annotations

import asyncio
import io
from typing import Annotated

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from pydantic import BaseModel, Field, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from service.api.bodies import NPY
from service.api.gate import Area, Gate
from service.api.guard import only
from service.api.problems import refusals
from service.drift.feature_mmd import FeatureMmd
from service.drift.isomap import Embedding
from service.drift.monitor import Monitor
from service.errors import NotOffered
from service.inference.bundle import Manifest
from service.serving import parts_of

MOST_RECENT_ROWS = 500

TOTAL_ROWS = "X-Harmgauge-Total-Rows"
"""How many rows of features there were since the detector began: tells whoever polls which ones are new."""

_POINT_SCHEMA = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}

# FastAPI writes a tuple's own schema in a way that no version of JSON Schema knows.
Point = Annotated[tuple[float, float], WithJsonSchema(_POINT_SCHEMA)]


class EmbeddingAnswer(BaseModel):
    model: str
    version: str
    reference: list[Point] = Field(description="The bundle's reference features, in the plane of their Isomap.")
    recent: list[Point] = Field(description="The newest features in the window, among them; oldest first.")


class Picture:
    """Where features lie in the plane of the reference's Isomap."""

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
        self._monitor.before_look()
        async with self._one_at_a_time:  # and all who asked meanwhile get the same picture
            if self._drawn_version != self._detector.version:
                version, rows = self._detector.version, self._detector.recent()[-MOST_RECENT_ROWS:]
                self._drawn = await asyncio.to_thread(_place, self._embedding, rows)
                self._drawn_version = version
            return self._drawn


def router(gate: Gate) -> APIRouter:
    routes = APIRouter(tags=["drift"], dependencies=[only(gate, Area.DRIFT)])
    not_offered = refusals(404)

    @routes.get(
        "/drift/features",
        summary="The features in the window, (rows, d) as .npy",
        response_class=Response,
        responses={200: {"content": {NPY: {}}}, **not_offered},
    )
    async def features(request: Request) -> Response:
        parts = parts_of(request)
        detector = parts.on_features
        if detector is None:
            raise _missing(parts.bundle.manifest, "features")
        parts.monitor.before_look()
        headers = {TOTAL_ROWS: str(detector.total_rows)}
        return Response(await asyncio.to_thread(_npy, detector.recent()), media_type=NPY, headers=headers)

    @routes.get("/drift/embedding", summary="Reference and recent features in two dimensions", responses=not_offered)
    async def embedding(request: Request) -> EmbeddingAnswer:
        parts = parts_of(request)
        manifest, picture = parts.bundle.manifest, parts.picture
        if picture is None:
            raise _missing(manifest, "picture of its features")
        return EmbeddingAnswer(
            model=manifest.name, version=manifest.version, reference=picture.reference, recent=await picture.recent()
        )

    return routes


def _missing(manifest: Manifest, what: str) -> NotOffered:
    return NotOffered(
        f"The bundle {manifest.name}/{manifest.version} has no {what}, or feature_mmd is off: build it with them."
    )


def _npy(array: npt.NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _place(embedding: Embedding, rows: npt.NDArray[np.float32]) -> list[Point]:
    points: list[Point] = embedding.place(rows).round(4).tolist() if len(rows) else []
    return points
