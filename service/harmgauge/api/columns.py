"""`GET /drift/columns`: the columns of the rows, and which of them have changed."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from harmgauge.api.body.media import JSON
from harmgauge.api.guard import only
from harmgauge.api.problems import refusals
from harmgauge.api.views import views_of
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.bundle.manifest import Manifest
from harmgauge.drift.columns.view import Change, Kind, View
from harmgauge.drift.state import State
from harmgauge.errors import NotOffered
from harmgauge.rollout.served import components_of


class ColumnAnswer(BaseModel):
    """One column."""

    column: str = Field(
        description="Its name, its position in a row, or the measure of pictures; `predicted class` for predictions."
    )
    kind: Kind = Field(
        description="A `category` is declared as such, or had at most two values; the number of a `text` is its "
        "length in characters."
    )
    state: State = Field(
        description="`drifting` from the moment when its evidence reached the threshold until it is acknowledged."
    )
    since: datetime = Field(description="Start of the current `state`.")
    rows: int = Field(
        description="Rows since the start or the last acknowledgement; for measures of pictures, those in the sample."
    )
    evidence: float = Field(description="Evidence that its values are no longer those of the reference.")
    highest: float = Field(description="Peak of the evidence since it started at zero.")
    direction: Change | None = Field(
        description="Of a drifting column: `higher` or `lower` numbers, or `more` or `less` rows with the value in "
        "`sentence`."
    )
    sentence: str | None = Field(description="Of a drifting column: the change in words, from the newest 200 rows.")
    middle: float | None = Field(description="Median of the newest 200 rows; null for a category.")
    reference_middle: float | None = Field(description="Median of the reference.")
    missing: float | None = Field(
        description="Share of missing values in the newest 200 rows; null if the bundle accepts none."
    )
    reference_missing: float | None = Field(description="The same share in the reference.")


class ColumnsAnswer(BaseModel):
    model: str
    version: str
    threshold: int = Field(
        description="Evidence at which a column starts drifting: rows between false alarms times the number of columns."
    )
    drifting: int = Field(description="Number of drifting columns.")
    columns: list[ColumnAnswer] = Field(description="Drifting ones first, then by evidence.")


def router(authorizer: Authorizer) -> APIRouter:
    routes = APIRouter(tags=["drift"], dependencies=[only(authorizer, Permission.DRIFT)])

    @routes.head("/drift/columns", include_in_schema=False)
    @routes.get(
        "/drift/columns",
        summary="The columns of the rows, and which of them have changed",
        response_model=ColumnsAnswer,
        responses=refusals(404),
    )
    async def columns(request: Request) -> Response:
        components = components_of(request)
        look, manifest = views_of(components).looks.columns, components.bundle.manifest
        if look is None:
            raise NotOffered(
                f"The bundle {manifest.name}/{manifest.version} has no sketches of its columns: "
                "harmgauge calibrate --only columns adds them."
            )
        return Response(await look.get(), media_type=JSON)

    return routes


def column_answers(view: View, most: int | None = None) -> list[ColumnAnswer]:
    """The columns, or the first `most`: drifting ones first, then by evidence."""
    return [ColumnAnswer.model_validate(state, from_attributes=True) for state in view.states(most)]


def columns_body(manifest: Manifest, view: View) -> bytes:
    """The body of `GET /drift/columns`. Takes some milliseconds for 200 columns."""
    return (
        ColumnsAnswer(
            model=manifest.name,
            version=manifest.version,
            threshold=view.threshold,
            drifting=view.drifting,
            columns=column_answers(view),
        )
        .model_dump_json()
        .encode()
    )
