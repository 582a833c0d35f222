"""Calls the application as a server would, without a server."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Scope

from harmgauge.app import Service


async def score_raw(service: Service, body: bytes, source: str | None = None) -> int:
    """Send raw rows to `/score`, from this source; returns the status."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    statuses: list[int] = []

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

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
    }
    await service.switch(scope, receive, send)
    (status,) = statuses
    return status
