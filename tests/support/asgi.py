"""Calls the application as a server would, without a server."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Message, Scope

from harmgauge.api.scope import EXCHANGE
from harmgauge.app import Service


class WholeExchange:
    """An exchange of a client that has sent its whole request, stays, and takes its response at once."""

    def __init__(self, body: bytes) -> None:
        self.body = bytearray(body)
        self.status: int | None = None

    def whole_body(self) -> bytearray:
        return self.body

    def is_receiving(self) -> bool:
        return False

    def has_left(self) -> bool:
        return False

    def abort(self) -> None:
        raise AssertionError("nobody waits for this client")

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        assert (b"content-length", b"%d" % len(body)) in headers
        self.status = status
        return True


async def score_raw(service: Service, body: bytes, source: str | None = None) -> int:
    """Send raw rows to `/score`, from this source; returns the status."""
    exchange = WholeExchange(body)

    async def receive() -> Message:
        raise AssertionError("the exchange has the whole body")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]

    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
    if source is not None:
        headers.append((b"x-harmgauge-source", source.encode()))
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/score",
        "scheme": "http",
        "query_string": b"",
        "headers": headers,
        EXCHANGE: exchange,
    }
    await service.switch(scope, receive, send)
    assert exchange.status is not None
    return exchange.status
