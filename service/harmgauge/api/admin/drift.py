"""`/admin/drift`: acknowledges an alarm. All of `/admin` needs an admin key."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from harmgauge.api.guard import only
from harmgauge.api.problems import refusals
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.rollout.served import components_of


def router(authorizer: Authorizer) -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["admin"], dependencies=[only(authorizer, Permission.ADMIN)])

    @routes.post("/drift/reset", summary="Acknowledge drift: restart all detectors", responses=refusals(401, 403))
    async def reset(request: Request) -> dict[str, str]:
        components = components_of(request)
        components.monitor.reset()
        components.metrics.process.drift_reset()
        return {"status": "reset"}

    return routes
