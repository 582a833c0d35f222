"""`/admin/bundle`: another bundle takes over while the service runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from service.api.problems import MEDIA_TYPE as PROBLEM
from service.api.problems import Problem
from service.api.receive import Intake
from service.errors import InvalidParameters
from service.inference.bundle import Bundle


class BundleRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    folder: str | None = Field(
        None,
        min_length=1,
        pattern=r"^[^\x00]+$",
        description="Of the bundle, as the service sees it; that of HARMGAUGE_BUNDLE, read again, if left out.",
    )


class ServedBundle(BaseModel):
    model: str
    version: str
    sha256: str


class BundleAnswer(ServedBundle):
    """What is served now, and what was before."""

    status: Literal["swapped", "unchanged"]
    previous: ServedBundle
    seconds: float = Field(description="That it took; requests were answered all the while.")


class Swap(Protocol):
    @property
    def before(self) -> Bundle: ...
    @property
    def now(self) -> Bundle: ...
    @property
    def seconds(self) -> float: ...


class Switch(Protocol):
    async def replace(self, folder: Path | None = None) -> Swap: ...


def router(intake: Intake, switch: Switch) -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["admin"])
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "content": {PROBLEM: {}}} for status in (401, 403, 409, 422, 503)
    }
    body = {"content": {"application/json": {"schema": BundleRequest.model_json_schema()}}}

    @routes.post(
        "/bundle",
        summary="Serve another bundle from now on",
        responses=refusals,
        openapi_extra={"requestBody": body},
    )
    async def replace(request: Request) -> BundleAnswer:
        with intake.call(request) as call:
            asked = _read(await call.body())
        swap = await switch.replace(Path(asked.folder) if asked.folder is not None else None)
        return BundleAnswer(
            status="unchanged" if swap.now is swap.before else "swapped",
            **_served(swap.now).model_dump(),
            previous=_served(swap.before),
            seconds=round(swap.seconds, 3),
        )

    return routes


def _read(body: bytes) -> BundleRequest:
    try:
        return BundleRequest.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise InvalidParameters(f'{where}: {first["msg"]}; send {{"folder": "/bundles/mine/2"}}.') from None


def _served(bundle: Bundle) -> ServedBundle:
    return ServedBundle(model=bundle.manifest.name, version=bundle.manifest.version, sha256=bundle.sha256)
