"""Measures how long a request occupies the event loop's thread at a time, in CPU seconds."""

from __future__ import annotations

import asyncio
import time
from asyncio import Handle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.types import Message

from harmgauge.app import Service


@contextmanager
def callbacks() -> Iterator[list[float]]:
    """The CPU seconds of each callback of the (plain) event loop while this is entered, sorted at the end in ascending
    order.
    """
    taken: list[float] = []
    run = Handle._run

    def timed(self: Handle) -> None:
        begin = time.thread_time()
        run(self)
        taken.append(time.thread_time() - begin)

    Handle._run = timed  # type: ignore[method-assign]  # replaced on purpose
    try:
        yield taken
    finally:
        Handle._run = run  # type: ignore[method-assign]  # replaced on purpose
        taken.sort()


async def ask(
    service: Service,
    method: str,
    path: str,
    body: bytes = b"",
    media_type: str = "application/json",
    *,
    has_left: bool = False,
) -> tuple[int, list[bytes]]:
    """Send a request; returns the status of the response (0 for none) and its pieces.

    The body is sent in one piece; the client may disconnect.
    """
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    status, pieces = 0, list[bytes]()

    async def receive() -> Message:
        if has_left:
            return {"type": "http.disconnect"}
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        pieces.append(message.get("body", b""))

    route, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": route,
        "raw_path": route.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": query.encode(),
        "headers": [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 9),
    }
    # In a separate task, so that the requesting callback does nothing else.
    await asyncio.create_task(service.switch(scope, receive, send))  # type: ignore[arg-type]  # plain dicts
    return status, pieces
