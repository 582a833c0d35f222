"""Large responses: built in pieces that block no other request, sent as fast as the client reads them, and bounded in
advance.

`orjson` holds the GIL while it writes, and so does joining the parts of a response: building 50 MB of probabilities in
one go stops every other request for 400 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PIECE_BYTES = 256 * 2**10
"""Maximum size of a piece of a response."""

PIECE_VALUES = 8192
"""Numbers converted to JSON in one step: 200 us. A response with more of them is built on a thread."""

JSON_BYTES = {"bool": 6, "int64": 21, "float32": 18, "float64": 26}
"""Maximum bytes that a number of this dtype takes in JSON, including the comma after it."""

FRAME_BYTES = 4096
"""Upper bound on everything in a response except its numbers."""

Piece = bytes | memoryview


def most_json_bytes(rows: int, columns: Sequence[tuple[str, int]]) -> int:
    """Upper bound on the bytes that the numbers of a response take in JSON; `columns` are (dtype, numbers per row)."""
    return rows * sum(JSON_BYTES[dtype] * width + len("[],") * (width > 1) for dtype, width in columns)


class WholeResponse(Response):
    """A successful response in one piece, which the server can send in one call (`exchange.py`)."""

    body: bytes

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        # Starlette's own takes longer than the rest of a small response.
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body))]
        for name, value in headers.items():
            self.raw_headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))


class PiecewiseResponse(Response):
    """A response in pieces of at most PIECE_BYTES; each is sent only once the client has taken the earlier ones."""

    def __init__(
        self, pieces: Sequence[Piece], media_type: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.pieces = pieces
        self.size_bytes = sum(map(len, pieces))
        self.ended: Callable[[], None] = _nothing  # called once everything is sent, or the client is gone
        super().__init__(headers={**(headers or {}), "Content-Length": str(self.size_bytes)}, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for piece in self.pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                # The event loop writes sent data in its next round (`server/protocol.py`); `send` waits after that if
                # it must.
                await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.ended()


def _nothing() -> None:
    pass


def json_pieces(document: Any) -> Iterator[bytes]:  # noqa: ANN401 - any JSON value
    """Serialise dicts, lists, arrays (one or two axes) and other JSON values in pieces of at most PIECE_BYTES."""
    kept: list[bytes] = []
    kept_bytes = 0
    for part in _parts(document):
        if kept_bytes + len(part) > PIECE_BYTES:
            yield b"".join(kept)
            kept, kept_bytes = [], 0
        kept.append(part)
        kept_bytes += len(part)
    yield b"".join(kept)


def binary_pieces(data: bytes | npt.NDArray[Any]) -> list[Piece]:
    """Split bytes, or a C-contiguous array's bytes, into pieces without copying them."""
    view = memoryview(data) if isinstance(data, bytes) else data.reshape(-1).view(np.uint8).data
    return [view[begin : begin + PIECE_BYTES] for begin in range(0, len(view), PIECE_BYTES)]


def _parts(value: Any) -> Iterator[bytes]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        for number, (name, own) in enumerate(value.items()):
            yield (b"," if number else b"{") + orjson.dumps(name) + b":"
            yield from _parts(own)
        yield b"}" if value else b"{}"
    elif isinstance(value, list):
        for number, own in enumerate(value):
            yield b"," if number else b"["
            yield from _parts(own)
        yield b"]" if value else b"[]"
    elif isinstance(value, np.ndarray) and value.size > PIECE_VALUES:
        yield from _array_parts(value)
    else:
        yield orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _array_parts(array: npt.NDArray[Any]) -> Iterator[bytes]:
    width = array.shape[1] if array.ndim == 2 else 1
    rows = max(1, PIECE_VALUES // width)
    for begin in range(0, len(array), rows):
        if begin:
            yield b","
        elif width > PIECE_VALUES:
            yield b"["
        if width > PIECE_VALUES:
            yield from _array_parts(array[begin])
        else:
            part = orjson.dumps(array[begin : begin + rows], option=orjson.OPT_SERIALIZE_NUMPY)
            yield (b"" if begin else b"[") + part[1:-1]
    yield b"]"
