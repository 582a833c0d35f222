"""`/docs`: an interactive page for the OpenAPI document.

The service hosts all of its files. A script from another host could read the keys typed into the page, and the page
would be empty in a cluster without internet access.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from harmgauge.api.assets import SECURITY_HEADERS, Asset, LazyAsset
from harmgauge.api.body.media import JSON
from harmgauge.api.guard import only
from harmgauge.auth.policy import Authorizer, Permission

_OWN = Path(__file__).parent / "swagger"
_NAMES = {"index.html", "start.js", "swagger-ui-bundle.js", "swagger-ui.css"}

_POLICY = "Content-Security-Policy"
_STYLES = {
    # Swagger UI sets styles on its elements and embeds images in its style sheet.
    _POLICY: f"{SECURITY_HEADERS[_POLICY]}; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
}


def router(authorizer: Authorizer, document: Callable[[], dict[str, Any]]) -> APIRouter:
    """Serves the OpenAPI document that `document` returns."""
    # A browser sends no key with its first request, and the page contains no data.
    routes = APIRouter(include_in_schema=False, dependencies=[only(authorizer, Permission.HEALTH)])

    assets = {name: LazyAsset(partial(Asset.of, _folder(name) / name)) for name in _NAMES}
    described = LazyAsset(lambda: Asset.made(JSON, orjson.dumps(document())))

    @routes.api_route("/openapi.json", methods=["GET", "HEAD"])
    async def openapi(request: Request) -> Response:
        return (await described.get()).answer(request.headers)

    @routes.api_route("/docs", methods=["GET", "HEAD"])
    async def docs(request: Request) -> Response:
        return await answer("index.html", request)

    @routes.api_route("/docs/{name}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        if name not in _NAMES - {"index.html"}:
            raise HTTPException(404)
        return await answer(name, request)

    async def answer(name: str, request: Request) -> Response:
        response = (await assets[name].get()).answer(request.headers)
        response.headers.update(_STYLES)
        return response

    return routes


def _folder(name: str) -> Path:
    return Path(str(files("fastapi_offline"))) / "static" if name.startswith("swagger-ui") else _OWN
