"""A request's body, no larger than allowed."""

from __future__ import annotations

from starlette.requests import Request

from service.errors import TooLarge, Unreadable


async def receive_body(request: Request, max_body_bytes: int) -> bytes:
    """The whole body; raises TooLarge as soon as it must be over the limit, ClientDisconnect where the client left."""
    declared = request.headers.get("content-length")
    if declared is not None and int(declared) > max_body_bytes:  # a server lets only digits through to here
        raise _too_large(max_body_bytes)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Unreadable("Compressed bodies are not taken; send it without Content-Encoding.")
    chunks: list[bytes] = []
    received_bytes = 0
    async for chunk in request.stream():
        received_bytes += len(chunk)
        if received_bytes > max_body_bytes:
            raise _too_large(max_body_bytes)
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(max_body_bytes: int) -> TooLarge:
    # The rest of the body is not read, so the connection cannot be used again.
    return TooLarge(f"The body is larger than {max_body_bytes} bytes; split the request.", {"Connection": "close"})
