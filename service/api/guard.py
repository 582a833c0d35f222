"""What asks the gate, at each route."""

from __future__ import annotations

from fastapi import Depends, Security
from fastapi.params import Depends as Dependency
from fastapi.security import HTTPBearer
from starlette.requests import Request

from service.api.gate import Area, Gate


class Guard(HTTPBearer):
    """Lets a route's requests in by its area, before anything else is done with them.

    A bearer scheme to FastAPI, so that `/docs` asks for a key and sends it.
    """

    def __init__(self, gate: Gate, area: Area) -> None:
        super().__init__(auto_error=False, scheme_name="HTTPBearer", description="Where the service has keys.")
        self._gate = gate
        self.area = area

    async def __call__(self, request: Request) -> None:  # type: ignore[override]  # it gives the route nothing
        self._gate.check_http(request.scope, self.area)


def only(gate: Gate, area: Area) -> Dependency:
    """For the `dependencies` of a route, or of a router. Every route has one; the middleware refuses what has none."""
    guard = Guard(gate, area)
    # Where all is open /docs has no key to ask for.
    asked: Dependency = Depends(guard.__call__) if area is Area.HEALTH else Security(guard)
    return asked
