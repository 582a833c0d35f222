"""Connections that the system has accepted and the service has not: none of them may be reset as the service stops.

Closing a listening socket resets the connections that wait to be accepted. So new handshakes are refused first, those
that have begun end, waiting ones are accepted, and only then is the socket closed.
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
"""A handshake that has begun gets this long to end: one way there and back, anywhere on Earth."""

ACCEPT_SECONDS = 1.0
"""Time to accept all waiting connections, on the busiest machine."""

_SO_ATTACH_FILTER = 26

_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the flags, byte 13 of TCP's header
    (0x45, 0, 1, 0x02),  # SYN?
    (0x06, 0, 0, 0),  # yes: drop the packet
    (0x06, 0, 0, 2**32 - 1),  # no: take all of it
)
"""Classic BPF: (code, jump if true, jump if false, operand) each."""


async def take_in(sockets: Sequence[socket.socket]) -> None:
    """Have the event loop accept, on listening `sockets`, every connection that a client takes for open.

    Close them right after it. Clients that connect meanwhile get no answer, try again as their system does after a
    second, and are refused then. Only Linux can distinguish them; elsewhere this does nothing.
    """
    if not _refuse_handshakes(sockets):
        return
    await asyncio.sleep(HANDSHAKE_SECONDS)
    loop = asyncio.get_running_loop()
    end = loop.time() + ACCEPT_SECONDS
    while _any_waits(sockets) and loop.time() < end:
        await asyncio.sleep(0)


def _refuse_handshakes(sockets: Sequence[socket.socket]) -> bool:
    """Whether the system drops, from now on, each packet that asks for a new connection to them."""
    if sys.platform != "linux":
        return False
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _DROP_SYN))
    option = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    with suppress(OSError):  # a kernel, or a substitute for one, without such filters
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
        return True
    return False


def _any_waits(sockets: Sequence[socket.socket]) -> bool:
    waiting = select.poll()
    for each in sockets:
        waiting.register(each, select.POLLIN)
    return bool(waiting.poll(0))
