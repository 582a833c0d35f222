"""The live page at `/`, its files, and the data that it polls: each response is built at most once a second for all
pages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import orjson
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from harmgauge.api.assets import SECURITY_HEADERS, read_assets
from harmgauge.api.guard import only
from harmgauge.api.state import InfoAnswer
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.page.overview import Overview
from harmgauge.rollout.served import components_of

FOLDER = Path(__file__).parent / "static"

STATE_SECONDS = 1.0
EMBEDDING_SECONDS = 5.0
"""Placing 500 rows relative to the reference takes 30 ms of a core."""


class Kept:
    """The result of `make` as JSON; rebuilt on request if it is older than `seconds`, one at a time."""

    def __init__(self, make: Callable[[], Awaitable[dict[str, Any]]], seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._body = b""
        self._good_until = 0.0
        self._one_at_a_time = asyncio.Lock()

    async def answer(self) -> Response:
        async with self._one_at_a_time:
            if time.monotonic() >= self._good_until:
                self._body = orjson.dumps(await self._make(), option=orjson.OPT_SERIALIZE_NUMPY)
                self._good_until = time.monotonic() + self._seconds
        headers = SECURITY_HEADERS | {"Cache-Control": "no-store"}
        return Response(self._body, headers=headers, media_type="application/json")


DOCUMENTS = ("info", "about", "state", "history", "embedding")


def documents(overview: Overview, info: InfoAnswer) -> dict[str, Kept]:
    """The data that the page polls about one bundle, one document for each of DOCUMENTS."""

    async def about_service() -> dict[str, Any]:  # the same as /info, which may require another key than the page
        return info.model_dump(mode="json")

    return {
        "info": Kept(about_service, float("inf")),
        "about": Kept(overview.about, float("inf")),
        "state": Kept(overview.state, STATE_SECONDS),
        "history": Kept(overview.history, STATE_SECONDS),
        "embedding": Kept(overview.embedding, EMBEDDING_SECONDS),
    }


def documents_router(authorizer: Authorizer) -> APIRouter:
    """The routes that the page polls. Register them before the files, whose route matches any name below `/page`."""
    routes = APIRouter(include_in_schema=False, dependencies=[only(authorizer, Permission.PAGE)])
    for name in DOCUMENTS:
        routes.add_api_route(f"/page/{name}", _document(name), methods=["GET", "HEAD"])
    return routes


def _document(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def document(request: Request) -> Response:
        kept = cast("dict[str, Kept]", components_of(request).page).get(name)
        if kept is None:  # the page is off
            raise HTTPException(404)
        return await kept.answer()

    return document


def router(authorizer: Authorizer, *, shown: bool) -> APIRouter:
    """`/` and the page's files; if the page is off, `/` redirects to the OpenAPI page, and there are no files."""
    # The files need no key: they contain no data, and a browser sends no key with its first request.
    routes = APIRouter(include_in_schema=False, dependencies=[only(authorizer, Permission.HEALTH)])
    if not shown:

        @routes.api_route("/", methods=["GET", "HEAD"])
        async def docs() -> RedirectResponse:
            return RedirectResponse("docs")

        return routes

    assets = read_assets(FOLDER)
    home_page = assets.pop("index.html")

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def home(request: Request) -> Response:
        return home_page.answer(request.headers)

    @routes.api_route("/page/{name:path}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        if name in assets:
            return assets[name].answer(request.headers)
        raise HTTPException(404)

    return routes
