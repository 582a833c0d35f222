"""What we note in a request's scope, and read off it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from starlette.types import Scope

HEADER = b"x-request-id"

_GOOD = re.compile(rb"[A-Za-z0-9._:;,=+/@~-]{1,128}")
"""Nothing that a terminal, a log's reader or a query would take for more than a name."""


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The client's own where it is a good one, else a new one; the headers' names are in lower case."""
    for name, value in headers:
        if name == HEADER and _GOOD.fullmatch(value):
            return str(value, "ascii")
    return f"{random.getrandbits(128):032x}"


ROUTE = "harmgauge.route"
"""Where a scope says which route it took, if the framework did not find it."""

PROGRESS = "harmgauge.progress"
"""Where it has what its request's progress is noted in, if somebody wants it."""

NO_ROUTE = "other"


def route_of(scope: Scope) -> str:
    """The framework's route as metrics call it; never the raw path, for anyone could invent labels."""
    route: str = getattr(scope.get("route"), "path", NO_ROUTE)
    return route
