"""`/admin/drift`: acknowledges an alarm. All of `/admin` needs an admin key."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from harmgauge.api.guard import only
from harmgauge.api.problems import refusals
from harmgauge.api.query import documented_as, flag, read_query, text
from harmgauge.api.said import quoted
from harmgauge.auth.policy import Authorizer, Permission
from harmgauge.errors import InvalidParameters, UnknownSource
from harmgauge.rollout.served import components_of


def router(authorizer: Authorizer) -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["admin"], dependencies=[only(authorizer, Permission.ADMIN)])

    @routes.post(
        "/drift/reset",
        summary="Acknowledge drift: restart all detectors, or one source",
        responses=refusals(401, 403, 404, 422),
        openapi_extra=documented_as(
            source=({"type": "string"}, "Acknowledge only this source, as `/drift/sources` names it."),
            forget_baseline=(
                {"type": "boolean", "default": False},
                "Let the source's next 500 rows be its new normal; only with `source`.",
            ),
        ),
    )
    async def reset(request: Request) -> dict[str, str]:
        components = components_of(request)
        asked = read_query(request.scope["query_string"], {"source": text, "forget_baseline": flag})
        source, forget_baseline = asked.get("source"), asked.get("forget_baseline", False)
        if source is None:
            if "forget_baseline" in asked:
                raise InvalidParameters("'forget_baseline' is for one source: name it with 'source'.")
            components.monitor.reset()
            components.metrics.process.drift_reset()
        elif not components.monitor.acknowledge(source, forget_baseline=forget_baseline):
            raise UnknownSource(f"No source is called {quoted(source)}: GET /drift/sources lists them.")
        return {"status": "reset"}

    return routes
