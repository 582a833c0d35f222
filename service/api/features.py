"""What the classifier's features look like: those in the window, and where they lie among the reference's."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from service.api.bodies import NPY
from service.api.problems import MEDIA_TYPE as PROBLEM
from service.api.problems import Problem
from service.drift.feature_mmd import FeatureMmd
from service.drift.isomap import Embedding
from service.drift.monitor import Monitor
from service.errors import NotOffered
from service.inference.bundle import Manifest

MOST_RECENT_ROWS = 500

Point = tuple[float, float]


class EmbeddingAnswer(BaseModel):
    model: str
    version: str
    reference: list[Point] = Field(description="The bundle's reference features, in the plane of their Isomap.")
    recent: list[Point] = Field(description="The newest features in the window, among them; oldest first.")


def router(manifest: Manifest, monitor: Monitor, detector: FeatureMmd | None, embedding: Embedding | None) -> APIRouter:
    routes = APIRouter(tags=["drift"])
    not_offered: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "content": {PROBLEM: {}}}}
    missing = f"The bundle {manifest.name}/{manifest.version} has no {{}}, or feature_mmd is off: build it with them."

    @routes.get("/drift/features", summary="The features in the window, (rows, d) as .npy", responses=not_offered)
    async def features() -> Response:
        if detector is None:
            raise NotOffered(missing.format("features"))
        monitor.before_look()
        stream = io.BytesIO()
        np.save(stream, detector.recent(), allow_pickle=False)
        return Response(stream.getvalue(), media_type=NPY)

    @routes.get("/drift/embedding", summary="Reference and recent features in two dimensions", responses=not_offered)
    async def picture() -> EmbeddingAnswer:
        if detector is None or embedding is None:
            raise NotOffered(missing.format("picture of its features"))
        monitor.before_look()
        recent = detector.recent()[-MOST_RECENT_ROWS:]
        placed = await asyncio.to_thread(embedding.place, recent) if len(recent) else np.empty((0, 2))
        return EmbeddingAnswer(
            model=manifest.name,
            version=manifest.version,
            reference=embedding.coordinates.round(4).tolist(),
            recent=placed.round(4).tolist(),
        )

    return routes
