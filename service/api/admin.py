"""`/admin`: what changes the service; the gate lets only its own keys through."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request

from service.api.problems import MEDIA_TYPE as PROBLEM
from service.api.problems import Problem
from service.serving import parts_of


def router() -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["admin"])
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "content": {PROBLEM: {}}} for status in (401, 403)
    }

    @routes.post("/drift/reset", summary="Acknowledge drift: all detectors begin anew", responses=refusals)
    async def reset(request: Request) -> dict[str, str]:
        parts_of(request).monitor.reset()
        return {"status": "reset"}

    return routes
