"""Keys of the service's entries in a request's scope."""

from __future__ import annotations

from starlette.types import Scope

ROUTE = "harmgauge.route"
"""The request's route, if the framework did not determine it."""

PROGRESS = "harmgauge.progress"
"""The request's progress, if requested."""

EXCHANGE = "harmgauge.exchange"
"""The request at its server (`exchange.py`), if the server is harmgauge's own."""

HEADERS = "harmgauge.headers"
"""The headers by name, in lower case, with their values as text, if the server has prepared them. Read only."""

NO_ROUTE = "other"


def route_of(scope: Scope) -> str:
    """The framework's route as named in metrics; never the raw path, which would let clients create any number of
    labels.
    """
    route: str = getattr(scope.get("route"), "path", NO_ROUTE)
    return route
