"""Keys of our entries in a request's scope."""

from __future__ import annotations

from starlette.types import Scope

ROUTE = "harmgauge.route"
"""The request's route, if the framework did not find it."""

PROGRESS = "harmgauge.progress"
"""Holds the request's progress, if it is wanted."""

ABORT = "harmgauge.abort"
"""Our own server's function that cuts the connection off, whatever is still to be sent."""

NO_ROUTE = "other"


def route_of(scope: Scope) -> str:
    """The framework's route as metrics call it; never the raw path, for anyone could invent labels."""
    route: str = getattr(scope.get("route"), "path", NO_ROUTE)
    return route
