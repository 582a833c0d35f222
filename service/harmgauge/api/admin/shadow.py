"""`/admin/shadow`: a second bundle that scores the same traffic unseen, until it is promoted or dropped."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from harmgauge.api.admin.swap import (
    REFUSALS,
    BundleAnswer,
    BundleIdentity,
    Swap,
    bundle_answer,
    bundle_identity,
    read_body,
)
from harmgauge.api.body.intake import HttpCall
from harmgauge.api.data_plane import DataPlane
from harmgauge.api.guard import only
from harmgauge.api.scope import route_of
from harmgauge.api.state import AccuracyAnswer, Detectors, accuracy_answer, detectors_answer
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.bundle.load import Bundle
from harmgauge.rollout.comparison import rank_correlation
from harmgauge.rollout.shadow import Shadow

QUANTILES = (0.5, 0.9, 0.99)


class ShadowRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    folder: str = Field(min_length=1, pattern=r"^[^\x00]+$", description="Path of the bundle as the service sees it.")


class Flags(BaseModel):
    """Numbers of rows flagged by both bundles, by only one of them, or by neither."""

    both: int
    only_served: int
    only_shadow: int
    neither: int


class Recent(BaseModel):
    """Statistics of the newest rows that both bundles scored; null if there are too few or all scores are equal."""

    rows: int
    rank_correlation: float | None = Field(description="Spearman's rank correlation of the two bundles' scores.")
    served_quantiles: dict[str, float] = Field(description="Quantiles of the served bundle's scores.")
    shadow_quantiles: dict[str, float] = Field(description="Quantiles of the shadow's scores.")


class ShadowAnswer(BundleIdentity):
    """A shadow and its comparison with the bundle in service since `since`: the shadow's start or the last swap."""

    since: datetime
    served: BundleIdentity
    threshold: float
    scored_rows: int
    waiting_rows: int = Field(description="Rows waiting to be scored once the service is idle.")
    shed_rows: int = Field(description="Rows skipped to keep the cores free for requests.")
    failed_rows: dict[str, int] = Field(description="Rows that could not be scored, by reason.")
    flags: Flags
    other_class_rows: int = Field(description="Rows for which the two bundles predict different classes.")
    recent: Recent
    detectors: Detectors = Field(description="Drift detectors over the shadow's own scores, as in `GET /drift`.")
    accuracy: AccuracyAnswer | None = Field(
        description="Accuracy estimate for the shadow's own classifier, as in `GET /drift`."
    )
    accuracy_missing: str | None = Field(description="Why there is no accuracy estimate; null if there is one.")


class DroppedAnswer(BundleIdentity):
    status: Literal["dropped"]


class Switch(Protocol):
    @property
    def shadow(self) -> Shadow: ...
    async def load_shadow(self, folder: Path) -> Shadow: ...
    async def drop_shadow(self) -> Bundle: ...
    def promote(self) -> Swap: ...


def router(authorizer: Authorizer, plane: DataPlane, switch: Switch) -> APIRouter:
    routes = APIRouter(
        prefix="/admin/shadow", tags=["admin"], responses=REFUSALS, dependencies=[only(authorizer, Permission.ADMIN)]
    )
    body = {"content": {"application/json": {"schema": ShadowRequest.model_json_schema()}}}

    @routes.post("", summary="Load another bundle as the shadow", openapi_extra={"requestBody": body})
    async def load(request: Request) -> ShadowAnswer:
        with HttpCall(plane, request, route_of(request.scope), to_score=False) as call:
            asked = read_body(await call.body(), ShadowRequest)
        return await _answer(await switch.load_shadow(Path(asked.folder)))

    @routes.get("", summary="Compare the shadow with the bundle in service")
    async def look() -> ShadowAnswer:
        return await _answer(switch.shadow)

    @routes.delete("", summary="Drop the shadow")
    async def drop() -> DroppedAnswer:
        return DroppedAnswer(status="dropped", **bundle_identity(await switch.drop_shadow()).model_dump())

    @routes.post("/promote", summary="Promote the shadow to serve")
    async def promote() -> BundleAnswer:
        return bundle_answer(switch.promote())

    return routes


async def _answer(shadow: Shadow) -> ShadowAnswer:
    states = await shadow.states()
    bundle, comparison = shadow.serving.bundle, shadow.comparison
    counts = comparison.rows
    return ShadowAnswer(
        **bundle_identity(bundle).model_dump(),
        since=comparison.since,
        served=bundle_identity(shadow.served.bundle),
        threshold=float(bundle.threshold),
        scored_rows=int(counts.sum()),
        waiting_rows=shadow.waiting_rows,
        shed_rows=comparison.shed_rows,
        failed_rows=comparison.failed_rows,
        flags=Flags(both=counts[1, 1], only_served=counts[1, 0], only_shadow=counts[0, 1], neither=counts[0, 0]),
        other_class_rows=comparison.other_class_rows,
        detectors=detectors_answer(states),
        accuracy=accuracy_answer(await shadow.accuracy()),
        accuracy_missing=bundle.no_error_probability,
        recent=await asyncio.to_thread(_recent, comparison.recent()),
    )


def _recent(pairs: npt.NDArray[np.float64]) -> Recent:
    quantiles = np.quantile(pairs, QUANTILES, axis=0) if len(pairs) else np.empty((0, 2))
    served, shadow = (
        {str(share): value for share, value in zip(QUANTILES, column, strict=False)} for column in quantiles.T
    )
    return Recent(
        rows=len(pairs), rank_correlation=rank_correlation(pairs), served_quantiles=served, shadow_quantiles=shadow
    )
