"""`/admin/bundle`: replaces the bundle while the service runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from harmgauge.api.body.decode import Body
from harmgauge.api.body.intake import HttpCall
from harmgauge.api.data_plane import DataPlane
from harmgauge.api.guard import only
from harmgauge.api.problems import refusals
from harmgauge.api.scope import route_of
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.bundle.load import Bundle
from harmgauge.errors import InvalidParameters

Asked = TypeVar("Asked", bound=BaseModel)


class BundleRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    folder: str | None = Field(
        None,
        min_length=1,
        pattern=r"^[^\x00]+$",
        description="Path of the bundle as the service sees it; by default HARMGAUGE_BUNDLE is reloaded.",
    )


class BundleIdentity(BaseModel):
    model: str
    version: str
    sha256: str


class BundleAnswer(BundleIdentity):
    """The bundle now in service and its predecessor."""

    status: Literal["swapped", "unchanged"]
    previous: BundleIdentity
    seconds: float = Field(description="Duration of the call; requests were answered throughout.")


def bundle_identity(bundle: Bundle) -> BundleIdentity:
    return BundleIdentity(model=bundle.manifest.name, version=bundle.manifest.version, sha256=bundle.sha256)


class Swap(Protocol):
    @property
    def before(self) -> Bundle: ...
    @property
    def now(self) -> Bundle: ...
    @property
    def seconds(self) -> float: ...


class Switch(Protocol):
    async def replace(self, folder: Path | None = None) -> Swap: ...


REFUSALS = refusals(401, 403, 404, 409, 422, 503)
"""Error responses of the calls that change the bundle in service or its shadow."""


def router(authorizer: Authorizer, plane: DataPlane, switch: Switch) -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["admin"], dependencies=[only(authorizer, Permission.ADMIN)])
    body = {"content": {"application/json": {"schema": BundleRequest.model_json_schema()}}}

    @routes.post(
        "/bundle",
        summary="Switch to another bundle",
        responses=REFUSALS,
        openapi_extra={"requestBody": body},
    )
    async def replace(request: Request) -> BundleAnswer:
        with HttpCall(plane, request, route_of(request.scope), to_score=False) as call:
            asked = read_body(await call.body(), BundleRequest)
        return bundle_answer(await switch.replace(Path(asked.folder) if asked.folder is not None else None))

    return routes


def bundle_answer(swap: Swap) -> BundleAnswer:
    return BundleAnswer(
        status="unchanged" if swap.now is swap.before else "swapped",
        **bundle_identity(swap.now).model_dump(),
        previous=bundle_identity(swap.before),
        seconds=round(swap.seconds, 3),
    )


def read_body(body: Body, model: type[Asked]) -> Asked:
    """Raises InvalidParameters if the body is not a valid `model` (an empty one counts as `{}`)."""
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise InvalidParameters(f'{where}: {first["msg"]}; send {{"folder": "/bundles/mine/2"}}.') from None
