"""`GET /drift/sources`: the sources of the traffic, sorted, filtered and paged."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from harmgauge.api.guard import only
from harmgauge.api.problems import refusals
from harmgauge.api.query import documented_as, one_of, read_query, text, whole
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.bundle.manifest import Manifest
from harmgauge.drift.sources.view import View
from harmgauge.drift.state import State
from harmgauge.errors import NotOffered
from harmgauge.rollout.served import components_of

DEFAULT_LIMIT = 100
MOST_LIMIT = 1000
MOST_START = 10**6

_SORTS = ("evidence", "accuracy", "rows", "source")
_STATES = ("warming", "ok", "drifting")
_READERS = {
    "state": one_of(*_STATES),
    "prefix": text,
    "sort": one_of(*_SORTS),
    "start": whole(0, MOST_START),
    "limit": whole(1, MOST_LIMIT),
}


class SourceAnswer(BaseModel):
    """One source."""

    source: str = Field(description="The name that its requests sent, after that of their key, if any: `KEY: NAME`.")
    state: State = Field(
        description="`drifting` from the moment when its evidence reached the threshold until it is acknowledged; "
        "otherwise `warming` while its baseline is incomplete: until then it is only watched for harm."
    )
    cause: Literal["harm", "change"] | None = Field(description="The main evidence of a drifting source.")
    listed: bool = Field(
        description="Whether it stands out now, together with others: e-d-BH on the evidence of all sources."
    )
    since: datetime = Field(description="Start of drifting; otherwise when it appeared, or was acknowledged.")
    last_seen: datetime
    rows: int = Field(description="Rows since it appeared.")
    evidence: float = Field(description="The mean of `harm` and `change`, or `change` alone if `harm` is null.")
    harm: float | None = Field(description="Evidence that its mean P(wrong) is too high; null without that alarm.")
    change: float = Field(description="Evidence that its scores are no longer those of its first 500 rows.")
    accuracy: float | None = Field(
        description="Estimate for about its last 1,000 rows, without labels; null before 100 rows, or without one."
    )


class SourcesAnswer(BaseModel):
    model: str
    version: str
    threshold: int = Field(description="Evidence at which a source starts drifting: the rows between false alarms.")
    monitored: int = Field(description="Number of sources, in any state.")
    drifting: int = Field(description="Number of those that are drifting.")
    unmonitored_requests: int = Field(description="Requests since the start whose source found no room.")
    sources: list[SourceAnswer]
    next: int | None = Field(description="The `start` of the next page; null on the last one.")


def router(authorizer: Authorizer) -> APIRouter:
    routes = APIRouter(tags=["drift"], dependencies=[only(authorizer, Permission.DRIFT)])

    @routes.head("/drift/sources", include_in_schema=False)
    @routes.get(
        "/drift/sources",
        summary="The sources of the traffic, and which of them drift",
        response_model=SourcesAnswer,
        responses=refusals(404, 422),
        openapi_extra=documented_as(
            state=({"type": "string", "enum": list(_STATES)}, "Only sources in this state."),
            prefix=({"type": "string"}, "Only sources whose names begin with this."),
            sort=(
                {"type": "string", "enum": list(_SORTS), "default": "evidence"},
                "`evidence`: drifting ones first, the most evidence on top; `accuracy`: the lowest on top; `rows`: the "
                "most on top; `source`: by name.",
            ),
            start=(
                {"type": "integer", "minimum": 0, "maximum": MOST_START, "default": 0},
                "Sources to skip: `next` of the page before.",
            ),
            limit=(
                {"type": "integer", "minimum": 1, "maximum": MOST_LIMIT, "default": DEFAULT_LIMIT},
                "Most sources on the page.",
            ),
        ),
    )
    async def sources(request: Request) -> Response:
        asked = read_query(request.scope["query_string"], _READERS)
        components = components_of(request)
        view = components.monitor.sources()
        if view is None:
            raise sources_are_off()
        body = await asyncio.to_thread(_page, components.bundle.manifest, view, asked)
        return Response(body, media_type="application/json")

    return routes


def sources_are_off() -> NotOffered:
    """The error for a request about sources if none are monitored."""
    return NotOffered("No sources are monitored: set HARMGAUGE_MAX_SOURCES above 0.")


def source_answers(view: View, slots: npt.NDArray[np.intp]) -> list[SourceAnswer]:
    """The sources in these slots, in this order."""
    return [SourceAnswer.model_validate(state, from_attributes=True) for state in view.states(slots)]


def _page(manifest: Manifest, view: View, asked: dict[str, Any]) -> str:
    """Takes some milliseconds for 10,000 sources."""
    start, limit = asked.get("start", 0), asked.get("limit", DEFAULT_LIMIT)
    slots = view.select(asked.get("sort", "evidence"), asked.get("state"), asked.get("prefix", ""))
    return SourcesAnswer(
        model=manifest.name,
        version=manifest.version,
        threshold=view.threshold,
        monitored=len(view),
        drifting=view.drifting,
        unmonitored_requests=view.turned_away,
        sources=source_answers(view, slots[start : start + limit]),
        next=start + limit if start + limit < len(slots) else None,
    ).model_dump_json()
