"""grpc.health.v1, as used by Kubernetes, Envoy and grpc_health_probe. Its messages are small enough to encode by hand.

It needs no key, so its memory is tightly bounded: only a few messages are read at once, each for at most a second. A
call whose message has not arrived by then gets the status of the whole server, as if it had named no service.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import grpc

from harmgauge.api.grpc.call import GrpcCall, refusal
from harmgauge.api.grpc.open_calls import OpenCalls
from harmgauge.api.grpc.protocol import SERVICE
from harmgauge.api.grpc.wire import LENGTH, block, malformed, small
from harmgauge.errors import RequestError, UnknownService
from harmgauge.readiness import Readiness

MOST_READS = 4
MESSAGE_SECONDS = 1.0

MOST_WATCHES = 256
"""Limit on concurrent watches. Beyond it, the connection with the most watches loses its oldest."""

LOOK_SECONDS = 1.0
"""How often a watch checks whether the status has changed."""

_REQUEST = "grpc.health.v1.HealthCheckRequest"
_KNOWN = ("", SERVICE)

_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = (bytes((1 << 3, status)) for status in (1, 2, 3))
"""Complete HealthCheckResponse messages."""

_NAME, _VALUE, _STATUSES = 1 << 3 | LENGTH, 2 << 3 | LENGTH, 1 << 3 | LENGTH


class Health:
    """Reports the health of the server and of its one service, like `/readyz`."""

    def __init__(self, readiness: Readiness, open_calls: OpenCalls) -> None:
        self._readiness = readiness
        self._open_calls = open_calls
        self._reads = 0
        self._watches: dict[asyncio.Event, str] = {}

    def close(self) -> None:
        """End every watch; otherwise they would last as long as the drain may."""
        for ends in self._watches:
            ends.set()

    async def check(self, call: GrpcCall, *_: object) -> bytes:
        """The current status. Raises UnknownService or Unreadable."""
        service = await self._service(call.context)
        if service not in _KNOWN:
            raise UnknownService(f"Unknown service {service!r}.")
        return self._status(service)

    async def list_all(self, *_: object) -> bytes:
        """The status of each service; the request has nothing to read."""
        entries = (block(_NAME, name.encode()) + block(_VALUE, self._status(name)) for name in _KNOWN)
        return b"".join(block(_STATUSES, entry) for entry in entries)

    async def watch(self, _: object, context: Any) -> None:
        """Send the status whenever it changes, until the server drains or other watches need the slot."""
        connection = context.peer()
        try:
            self._open_calls.begin(connection)
            context.add_done_callback(lambda _: self._open_calls.end(connection))
            service = await self._service(context)
        except RequestError as error:
            refused = refusal(error)
            await context.abort(refused.status, refused.detail)
            return
        if len(self._watches) >= MOST_WATCHES:
            ((most, _count),) = Counter(self._watches.values()).most_common(1)
            oldest = next(ends for ends, whose in self._watches.items() if whose == most)
            oldest.set()
            del self._watches[oldest]
        ends = asyncio.Event()
        self._watches[ends] = connection
        context.add_done_callback(lambda _: self._watches.pop(ends, None))
        told = None
        while True:
            status = self._status(service)
            if status != told:
                await context.write(status)
                told = status
            if ends.is_set():
                break
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await ends.wait()
            except TimeoutError:
                pass
        context.set_code(grpc.StatusCode.UNAVAILABLE)
        context.set_details("The watch has ended; call again, or try another replica.")

    def _status(self, service: str) -> bytes:
        if service not in _KNOWN:
            return _SERVICE_UNKNOWN
        return _SERVING if self._readiness.unready is None else _NOT_SERVING

    async def _service(self, context: Any) -> str:
        """The service that a call's message names. Raises Unreadable."""
        if self._reads == MOST_READS:
            return ""
        self._reads += 1
        reading = asyncio.ensure_future(context.read())
        reading.add_done_callback(self._read)
        await asyncio.wait({reading}, timeout=MESSAGE_SECONDS)
        if not reading.done():  # the read ends once the response is sent
            return ""
        sent = reading.result()
        if sent is grpc.aio.EOF:
            return ""
        name = b""
        for tag, _, begin, end in small(sent, _REQUEST):
            if tag == _NAME:
                name = sent[begin:end]
        try:
            return name.decode()
        except UnicodeDecodeError:
            raise malformed(_REQUEST) from None

    def _read(self, reading: asyncio.Future[Any]) -> None:
        self._reads -= 1
        if not reading.cancelled():
            reading.exception()  # that the call was over; retrieved here, or it would be logged
