"""The id by which a request is found again: in its answer, in the log, in its trace."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

HEADER = b"x-request-id"

_GOOD = re.compile(rb"[A-Za-z0-9._:;,=+/@~-]{1,128}")
"""Nothing that a terminal, a log's reader or a query would take for more than a name."""


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The client's own where it is a good one, else a new one; the headers' names are in lower case."""
    for name, value in headers:
        if name == HEADER and _GOOD.fullmatch(value):
            return str(value, "ascii")
    return f"{random.getrandbits(128):032x}"
