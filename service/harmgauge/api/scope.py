"""Keys of the service's entries in a request's scope."""

from __future__ import annotations

from starlette.types import Scope

ROUTE = "harmgauge.route"
"""The request's route, if the framework did not determine it."""

PROGRESS = "harmgauge.progress"
"""The request's progress, if requested."""

ABORT = "harmgauge.abort"
"""The server's function that aborts the connection, discarding unsent data."""

NO_ROUTE = "other"


def route_of(scope: Scope) -> str:
    """The framework's route as named in metrics; never the raw path, which would let clients create any number of
    labels.
    """
    route: str = getattr(scope.get("route"), "path", NO_ROUTE)
    return route
