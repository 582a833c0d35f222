"""Accepts connections, each of which counts in `Connections` from the start, its TLS handshake included."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence

from harmgauge.observe.logs import RateLimitedWarning
from harmgauge.server.connections import Connections

log = logging.getLogger(__name__)

TURN_CONNECTIONS = 32
"""Number accepted per turn of the event loop, so that other work can run in between."""

_NO_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_PAUSE_SECONDS = 0.2
"""Pause before the next attempt if the system has no room for a connection."""


class Listener:
    """Listens on sockets, and gives each connection a protocol from `make_protocol`.

    It has the methods that uvicorn uses of the event loop's own server: `close` and `wait_closed`. That server counts a
    connection only after its handshake, and waits a minute for one.
    """

    def __init__(
        self,
        listening: Sequence[socket.socket],
        make_protocol: Callable[[], asyncio.Protocol],
        connections: Connections,
        *,
        tls: ssl.SSLContext | None,
        handshake_seconds: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = list(listening)
        self._make_protocol = make_protocol
        self._connections = connections
        self._tls = tls
        self._handshake_seconds = handshake_seconds
        self._beginning: set[asyncio.Task[None]] = set()
        self._warning = RateLimitedWarning(log)
        for each in self._listening:
            each.setblocking(False)
            self._loop.add_reader(each.fileno(), self._accept, each)

    def any_begins(self) -> bool:
        """Whether a connection has been accepted, but its protocol does not exist yet."""
        return bool(self._beginning)

    def close(self) -> None:
        """Stop accepting. Existing connections continue."""
        for each in self._listening:
            self._loop.remove_reader(each.fileno())
            each.close()
        self._listening.clear()

    async def wait_closed(self) -> None:
        """Wait for the handshakes in progress."""
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _accept(self, listening: socket.socket) -> None:
        """Accept pending connections; the event loop calls again if there are more."""
        for _ in range(TURN_CONNECTIONS):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_FILES:
                    raise
                self._have_no_room(listening, error)
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._begin(accepted, str(address[0])))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, accepted: socket.socket, address: str) -> None:
        if self._tls is None:
            await self._loop.connect_accepted_socket(self._make_protocol, accepted)
            return
        task = asyncio.current_task()
        assert task is not None
        handshake = _Handshake(task)
        if not self._connections.add(handshake, address):
            accepted.close()
            return
        try:
            await self._loop.connect_accepted_socket(
                self._make_protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=self._handshake_seconds,
            )
        except (OSError, asyncio.CancelledError):  # the handshake failed, and the transport has closed the socket
            pass
        finally:
            self._connections.remove(handshake, address)

    def _have_no_room(self, listening: socket.socket, error: OSError) -> None:
        """The system has no room. The loop would call again at once, for ever."""
        self._warning.warn("no connection can be accepted: %s", error.strerror)
        self._connections.make_room()
        self._loop.remove_reader(listening.fileno())
        self._loop.call_later(_PAUSE_SECONDS, self._listen_again, listening)

    def _listen_again(self, listening: socket.socket) -> None:
        if listening in self._listening:
            self._loop.add_reader(listening.fileno(), self._accept, listening)


class _Handshake:
    """Takes the connection's place until its protocol exists."""

    waits_for_client = True

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def give_up(self) -> None:
        self._task.cancel()
