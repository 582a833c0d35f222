"""A request's body, no larger than allowed and only while work is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import Request

from service.errors import TooLarge, Unreadable
from service.readiness import Readiness

_DISCARD_BYTES = 64 * 2**20
_DISCARD_SECONDS = 2.0


class Intake:
    """What every route that scores does first."""

    def __init__(self, readiness: Readiness, max_body_bytes: int) -> None:
        self._readiness = readiness
        self._max_body_bytes = max_body_bytes

    async def body(self, request: Request) -> bytes:
        """The whole body.

        Raises NotReady, TooLarge as soon as the body must be over the limit, ClientDisconnect where the client left.
        """
        self._readiness.check()
        stream = request.stream()
        declared = request.headers.get("content-length")
        if declared is not None and int(declared) > self._max_body_bytes:  # the server lets only digits through to here
            await _discard(stream)
            raise self._too_large()
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Unreadable("Compressed bodies are not taken; send it without Content-Encoding.")
        chunks: list[bytes] = []
        received_bytes = 0
        async for chunk in stream:
            received_bytes += len(chunk)
            if received_bytes > self._max_body_bytes:
                chunks.clear()
                await _discard(stream)
                raise self._too_large()
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> TooLarge:
        # Not all of the body may have been read, so the connection cannot be used again.
        detail = f"The body is larger than {self._max_body_bytes} bytes; split the request."
        return TooLarge(detail, {"Connection": "close"})


async def _discard(stream: AsyncIterator[bytes]) -> None:
    """Read on for a while: closing with unread data resets the connection before the client has seen its answer."""
    left_bytes = _DISCARD_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for chunk in stream:
                left_bytes -= len(chunk)
                if left_bytes < 0:
                    return
