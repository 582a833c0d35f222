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

from harmgauge.api.body.decode import NPY
from harmgauge.api.guard import only
from harmgauge.api.problems import refusals
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.bundle.manifest import Manifest
from harmgauge.drift.feature_mmd import FeatureMmd
from harmgauge.errors import NotOffered
from harmgauge.rollout.served import components_of

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


def router(authorizer: Authorizer) -> APIRouter:
    routes = APIRouter(tags=["drift"], dependencies=[only(authorizer, Permission.DRIFT)])
    not_offered = refusals(404)

    @routes.get(
        "/drift/features",
        summary="The features in the window, (rows, d) as .npy",
        response_class=Response,
        responses={200: {"content": {NPY: {}}}, **not_offered},
    )
    async def features(request: Request) -> Response:
        components = components_of(request)
        detector = components.monitor.find(FeatureMmd)
        if detector is None:
            raise _missing(components.bundle.manifest, "features")
        headers = {TOTAL_ROWS: str(detector.total_rows)}
        return Response(await asyncio.to_thread(_npy, detector.recent()), media_type=NPY, headers=headers)

    @routes.get("/drift/embedding", summary="Reference and recent features in two dimensions", responses=not_offered)
    async def embedding(request: Request) -> EmbeddingAnswer:
        components = components_of(request)
        manifest, view = components.bundle.manifest, components.embedding_view
        if view is None:
            raise _missing(manifest, "picture of its features")
        return EmbeddingAnswer(
            model=manifest.name, version=manifest.version, reference=view.reference, recent=await view.recent()
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
