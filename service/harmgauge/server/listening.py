"""The sockets that the service listens on."""

from __future__ import annotations

import errno
import logging
import os
import socket

from harmgauge.errors import SettingsError

log = logging.getLogger(__name__)

BACKLOG = 2048
"""Number of connections that the system queues until they are accepted."""

_NO_IPV6 = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


def listen(host: str, port: int) -> list[socket.socket]:
    """Open a listening socket for each address of `host`. Raises SettingsError if one is not available.

    `::` also accepts IPv4, as in other servers; a machine without IPv6 listens on IPv4 only.
    """
    try:
        if host == "::":
            return [_bind_all(port)]
        return _bind_each(host, port)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): choose another address with HARMGAUGE_HOST "
            "and HARMGAUGE_PORT (or make's PORT=), or stop the process that listens there"
        ) from None


def _bind_all(port: int) -> socket.socket:
    try:
        return _bind(socket.AF_INET6, ("::", port), both=True)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
        log.warning("this machine has no IPv6 (%s): listening on 0.0.0.0 instead of ::", error.strerror)
        return _bind(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104  # nosec B104  # asked for by the setting


def _bind_each(host: str, port: int) -> list[socket.socket]:
    """Bind each address. `localhost` has an IPv6 address even on machines without IPv6, so one available address is
    enough.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listening: list[socket.socket] = []
    unavailable: OSError | None = None
    for family, address in dict.fromkeys((each[0], each[4]) for each in found):
        try:
            listening.append(_bind(family, address))
        except OSError as error:
            if family != socket.AF_INET6 or error.errno not in _NO_IPV6:
                raise
            unavailable = error
    if unavailable is not None and not listening:
        raise unavailable
    return listening


def _bind(family: int, address: tuple[object, ...], *, both: bool = False) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let another process take the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        listening.bind(address)
        listening.listen(BACKLOG)  # of two that start at the same time, both may have bound: one fails here
    except OSError:
        listening.close()
        raise
    return listening
