"""The permission check of each route."""

from __future__ import annotations

from fastapi import Depends, Security
from fastapi.params import Depends as Dependency
from fastapi.security import HTTPBearer
from starlette.requests import Request

from harmgauge.auth.policy import Authorizer, Permission


class Guard(HTTPBearer):
    """Checks the permission of a request before its route does anything else.

    FastAPI sees a bearer scheme, so `/docs` prompts for a key and sends it.
    """

    def __init__(self, authorizer: Authorizer, permission: Permission) -> None:
        super().__init__(
            auto_error=False, scheme_name="HTTPBearer", description="Required if the service has API keys."
        )
        self._authorizer = authorizer
        self.permission = permission

    async def __call__(self, request: Request) -> None:  # type: ignore[override]  # it gives the route nothing
        self._authorizer.check_http(request.scope, self.permission)


def only(authorizer: Authorizer, permission: Permission) -> Dependency:
    """The check for the `dependencies` of a route or a router. Each route needs one; otherwise the middleware refuses
    its response.
    """
    guard = Guard(authorizer, permission)
    # Without the scheme, /docs does not prompt for a key, which these routes do not need.
    asked: Dependency = Depends(guard.__call__) if permission is Permission.HEALTH else Security(guard)
    return asked
