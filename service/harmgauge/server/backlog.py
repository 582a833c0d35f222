"""Accepts pending connections before the service stops, so that none of them is reset.

Closing a listening socket resets the connections that the system has accepted for it and the service has not. So new
handshakes are refused first, handshakes in progress are completed, pending connections are accepted, and only then is
the socket closed.
"""

from __future__ import annotations

import asyncio
import ctypes
import select
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress

HANDSHAKE_SECONDS = 0.2
"""Time for a handshake in progress to complete: one round trip anywhere on Earth."""

ACCEPT_SECONDS = 1.0
"""Time to accept all pending connections, even on the busiest machine."""

_SO_ATTACH_FILTER = 26

_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the flags, byte 13 of TCP's header
    (0x45, 0, 1, 0x02),  # is SYN set?
    (0x06, 0, 0, 0),  # yes: drop the packet
    (0x06, 0, 0, 2**32 - 1),  # no: take all of it
)
"""Classic BPF instructions: (code, jump if true, jump if false, operand)."""


async def take_in(sockets: Sequence[socket.socket]) -> None:
    """Make the event loop accept, on the listening `sockets`, every connection that a client considers open.

    Close the sockets right afterwards. Clients that connect in the meantime get no answer, retry after a second as TCP
    does, and are refused then. Only Linux can tell these apart; on other systems this does nothing.
    """
    if not _refuse_handshakes(sockets):
        return
    await asyncio.sleep(HANDSHAKE_SECONDS)
    loop = asyncio.get_running_loop()
    end = loop.time() + ACCEPT_SECONDS
    while _any_waits(sockets) and loop.time() < end:
        await asyncio.sleep(0)


def _refuse_handshakes(sockets: Sequence[socket.socket]) -> bool:
    """Make the system drop every packet that requests a new connection to the sockets; returns whether it can."""
    if sys.platform != "linux":
        return False
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _DROP_SYN))
    option = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    with suppress(OSError):  # some kernels, and substitutes for one, lack such filters
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
        return True
    return False


def _any_waits(sockets: Sequence[socket.socket]) -> bool:
    waiting = select.poll()
    for each in sockets:
        waiting.register(each, select.POLLIN)
    return bool(waiting.poll(0))
