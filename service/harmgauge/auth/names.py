"""The client's and source's names in a request: one parser for headers, metadata and parameters."""

from __future__ import annotations

import re

from harmgauge.auth.policy import Principal
from harmgauge.errors import BadRequest
from harmgauge.inference.caller import Name

CLIENT = "X-Harmgauge-Client"
"""Identifies the sender of requests that may be correlated: a camera, a session, a batch job."""

SOURCE = "X-Harmgauge-Source"
"""Identifies a stream that is monitored separately: a camera, a site, a tenant."""

_GOOD = re.compile(r"[!-~]{1,128}")


def read_name(header: str, value: object, principal: Principal) -> Name | None:
    """The name in `value`, together with the key that sent it: (key, name).

    None if it is empty, or if the key is not trusted with names. Raises BadRequest.
    """
    if not value:
        return None
    if not isinstance(value, str) or not _GOOD.fullmatch(value):
        raise BadRequest(f"{header}: expected at most 128 visible ASCII characters, without spaces.")
    return (principal.name, value) if principal.is_trusted else None
