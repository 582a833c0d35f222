"""Number of connections that the system's limit on open files allows."""

from __future__ import annotations

import logging
import sys

log = logging.getLogger(__name__)

RESERVED_FILES = 128
"""Files for everything but connections: the bundle, keys, state, captured rows, metrics, libraries."""

LEAST_CONNECTIONS = 8


def room_for_connections(wanted: int, others: int = 0) -> int:
    """How many of `wanted` connections fit besides `others` and RESERVED_FILES, after raising the soft limit as far as
    possible. Warns if not all of them fit.
    """
    if sys.platform == "win32":
        return wanted
    import resource  # noqa: PLC0415 - not available on Windows

    due = wanted + others + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < due:
        soft = due if hard == resource.RLIM_INFINITY else min(due, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= due:
        return wanted
    room = max(LEAST_CONNECTIONS, (soft - RESERVED_FILES) * wanted // (wanted + others))
    log.warning(
        "this process may open only %d files, so it keeps at most %d connections instead of "
        "HARMGAUGE_MAX_CONNECTIONS=%d: raise the limit (ulimit -n) or lower the setting",
        soft,
        room,
        wanted,
    )
    return room
