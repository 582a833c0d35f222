"""A request's body, no larger than allowed and only while work is taken."""

from __future__ import annotations

from starlette.requests import Request

from service.errors import TooLarge, Unreadable
from service.readiness import Readiness


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
        declared = request.headers.get("content-length")
        if declared is not None and int(declared) > self._max_body_bytes:  # the server lets only digits through to here
            raise self._too_large()
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Unreadable("Compressed bodies are not taken; send it without Content-Encoding.")
        chunks: list[bytes] = []
        received_bytes = 0
        async for chunk in request.stream():
            received_bytes += len(chunk)
            if received_bytes > self._max_body_bytes:
                raise self._too_large()
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> TooLarge:
        # The rest of the body is not read, so the connection cannot be used again.
        detail = f"The body is larger than {self._max_body_bytes} bytes; split the request."
        return TooLarge(detail, {"Connection": "close"})
