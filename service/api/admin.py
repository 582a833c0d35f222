"""`/admin`: what changes the service; behind its own keys."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import SecretStr
from starlette.requests import Request

from service.api.problems import MEDIA_TYPE as PROBLEM
from service.api.problems import Problem
from service.errors import Forbidden, Unauthorized
from service.serving import parts_of


class AdminKeys:
    """Who may: `Authorization: Bearer KEY` with any of the keys; nobody where there are none."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = [key.get_secret_value().encode() for key in keys]

    def check(self, request: Request) -> None:
        """Raises Forbidden where there are no keys, Unauthorized where none of them came."""
        if not self._keys:
            raise Forbidden("No admin key is set: start the service with HARMGAUGE_ADMIN_KEYS=KEY to use /admin.")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Every key is compared, and each in constant time: how long it takes tells nothing.
        found = [hmac.compare_digest(given.encode(), key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(found):
            raise Unauthorized("Send 'Authorization: Bearer KEY' with an admin key.", {"WWW-Authenticate": "Bearer"})


def router(keys: AdminKeys) -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["admin"])
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "content": {PROBLEM: {}}} for status in (401, 403)
    }

    @routes.post("/drift/reset", summary="Acknowledge drift: all detectors begin anew", responses=refusals)
    async def reset(request: Request) -> dict[str, str]:
        keys.check(request)
        parts_of(request).monitor.reset()
        return {"status": "reset"}

    return routes
