"""The classifier's features: those in the window, and their positions relative to the reference's."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from harmgauge.api.body.media import JSON, NPY
from harmgauge.api.guard import only
from harmgauge.api.places import PlacedResponse, Places
from harmgauge.api.problems import refusals
from harmgauge.api.views import views_of
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.bundle.manifest import Manifest
from harmgauge.errors import NotOffered
from harmgauge.rollout.served import components_of

_POINT_SCHEMA = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}

# FastAPI's own schema of a tuple is not valid in any version of JSON Schema.
Point = Annotated[tuple[float, float], WithJsonSchema(_POINT_SCHEMA)]


class EmbeddingAnswer(BaseModel):
    model: str
    version: str
    reference: list[Point] = Field(description="The bundle's reference features, in two dimensions by Isomap.")
    recent: list[Point] = Field(description="The newest features in the window, in the same plane; oldest first.")


def router(authorizer: Authorizer) -> APIRouter:
    routes = APIRouter(tags=["drift"], dependencies=[only(authorizer, Permission.DRIFT)])
    not_offered = refusals(404)
    places = Places()

    @routes.get(
        "/drift/features",
        summary="The features in the window, as .npy of shape (rows, d)",
        response_class=Response,
        responses={200: {"content": {NPY: {}}}, **not_offered},
    )
    async def features(request: Request) -> Response:
        components = components_of(request)
        look = views_of(components).looks.features
        if look is None:
            raise _missing(components.bundle.manifest, "features")
        return PlacedResponse(places, look, media_type=NPY)

    @routes.get(
        "/drift/embedding",
        summary="Reference and recent features in two dimensions",
        response_model=EmbeddingAnswer,
        responses=not_offered,
    )
    async def embedding(request: Request) -> Response:
        components = components_of(request)
        look = views_of(components).looks.embedding
        if look is None:
            raise _missing(components.bundle.manifest, "embedding of its features")
        return Response(await look.get(), media_type=JSON)

    return routes


def _missing(manifest: Manifest, what: str) -> NotOffered:
    return NotOffered(
        f"The bundle {manifest.name}/{manifest.version} has no {what}, or feature_mmd is off: build the bundle with "
        "features, or leave HARMGAUGE_FEATURE_MMD on."
    )
