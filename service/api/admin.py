"""`/admin`: what changes the service; the gate lets only its own keys through."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from service.api.gate import Area, Gate
from service.api.guard import only
from service.api.problems import refusals
from service.serving import parts_of


def router(gate: Gate) -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["admin"], dependencies=[only(gate, Area.ADMIN)])

    @routes.post("/drift/reset", summary="Acknowledge drift: all detectors begin anew", responses=refusals(401, 403))
    async def reset(request: Request) -> dict[str, str]:
        parts_of(request).monitor.reset()
        return {"status": "reset"}

    return routes
