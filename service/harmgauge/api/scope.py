"""What we note in a request's scope, and read off it."""

from __future__ import annotations

from starlette.types import Scope

ROUTE = "harmgauge.route"
"""Where a scope says which route it took, if the framework did not find it."""

PROGRESS = "harmgauge.progress"
"""Where it has what its request's progress is noted in, if somebody wants it."""

ABORT = "harmgauge.abort"
"""Where our own server puts what cuts the connection off, whatever is still to be sent."""

NO_ROUTE = "other"


def route_of(scope: Scope) -> str:
    """The framework's route as metrics call it; never the raw path, for anyone could invent labels."""
    route: str = getattr(scope.get("route"), "path", NO_ROUTE)
    return route
