"""The names that a request brings for its client and its source: one parser for headers, metadata and parameters."""

from __future__ import annotations

import re

from harmgauge.auth.policy import Principal
from harmgauge.errors import BadRequest
from harmgauge.inference.caller import Name

CLIENT = "X-Harmgauge-Client"
"""Whose requests are alike: a camera, a session, a batch job."""

SOURCE = "X-Harmgauge-Source"
"""A stream that is monitored by itself: a camera, a site, a tenant."""

_GOOD = re.compile(r"[!-~]{1,128}")


def read_name(header: str, value: object, principal: Principal) -> Name | None:
    """The name in `value`, bound to the key that it came with: (key, name).

    None if it is empty, or if the key is not trusted with names. Raises BadRequest.
    """
    if not value:
        return None
    if not isinstance(value, str) or not _GOOD.fullmatch(value):
        raise BadRequest(f"{header}: expected at most 128 visible ASCII characters, without spaces.")
    return (principal.name, value) if principal.is_trusted else None
