"""One request on its own connection, for the mixed traffic: assembled by hand, so it may be anything."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def message(path: str, body: bytes = b"", method: str = "POST", /, **headers: str) -> bytes:
    """A whole request; `Content_Type` in `headers` becomes Content-Type."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if method == "POST":
        named.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1", "Host: soak", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def ask(port: int, sent: bytes, seconds: float = 30) -> Answer:
    """Send it and read one response; raises OSError, EOFError or TimeoutError if none arrives."""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            if b"content-length" in headers:
                body = await reader.readexactly(int(headers[b"content-length"]))
            else:
                body = await reader.read()
            return Answer(int(head[9:12]), body)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def leave(port: int, sent: bytes, pause_seconds: float, *, tear: bool) -> None:
    """Send it, wait a moment, and disconnect: with a normal close, or with a reset if `tear` is set."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    await asyncio.sleep(pause_seconds)
    if tear:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
