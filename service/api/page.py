"""The live page at `/`, its files, and what it polls: each answer is made at most once a second, whoever asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.api.assets import SECURITY_HEADERS, read_assets
from service.api.overview import Overview
from service.api.state import InfoAnswer
from service.serving import parts_of

FOLDER = Path(__file__).parent.parent / "observe" / "page"

STATE_SECONDS = 1.0
EMBEDDING_SECONDS = 5.0
"""To place 500 rows among the reference takes 30 ms of a core."""


class Kept:
    """What `make` gives, as JSON; made again when it is asked for and older than `seconds`, by one at a time."""

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


def documents(overview: Overview, info: InfoAnswer) -> dict[str, Kept]:
    """What the page polls about one bundle."""

    async def about_service() -> dict[str, Any]:  # as /info, which may need another key than the page
        return info.model_dump(mode="json")

    return {
        "info": Kept(about_service, float("inf")),
        "about": Kept(overview.about, float("inf")),
        "state": Kept(overview.state, STATE_SECONDS),
        "history": Kept(overview.history, STATE_SECONDS),
        "embedding": Kept(overview.embedding, EMBEDDING_SECONDS),
    }


def router(*, shown: bool) -> APIRouter:
    """`/` and all below `/page`; where it is not shown `/` leads to the OpenAPI page, and nothing else is there."""
    routes = APIRouter(include_in_schema=False)
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
    async def page(request: Request, name: str) -> Response:
        kept = parts_of(request).page
        if name in kept:
            return await kept[name].answer()
        if name in assets:
            return assets[name].answer(request.headers)
        raise HTTPException(404)

    return routes
