"""Files for browsers: read once, served from memory, and not sent again to browsers that have them cached."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response

from harmgauge.api.answer import PIECE_BYTES, PiecewiseResponse, binary_pieces

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""Files of other kinds are not served."""

SECURITY_HEADERS = {
    # Only our own files and scripts may be loaded, and no other site may frame the page.
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; object-src 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Asset:
    """A file: its `body`, the compressed body, and an `etag` that changes with any byte of it."""

    media_type: str
    body: bytes
    packed: bytes
    etag: str

    @classmethod
    def of(cls, file: Path) -> Asset:
        return cls.made(MEDIA_TYPES[file.suffix], file.read_bytes())

    @classmethod
    def made(cls, media_type: str, body: bytes) -> Asset:
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        return cls(media_type, body, gzip.compress(body, mtime=0), etag)

    def answer(self, request: Headers) -> Response:
        """The file; 304 if the client has it, compressed with gzip if the client accepts that."""
        headers = {
            **SECURITY_HEADERS,
            "Cache-Control": "no-cache",  # browsers cache it, but revalidate it each time
            "ETag": self.etag,
            "Vary": "Accept-Encoding",
        }
        if _names(request.get("if-none-match", ""), self.etag):
            return Response(status_code=304, headers=headers)
        body = self.body
        if "gzip" in request.get("accept-encoding", ""):
            body = self.packed
            headers["Content-Encoding"] = "gzip"
        if len(body) > PIECE_BYTES:
            return PiecewiseResponse(binary_pieces(body), media_type=self.media_type, headers=headers)
        return Response(body, headers=headers, media_type=self.media_type)


class LazyAsset:
    """An asset that is built on a thread at the first request for it."""

    def __init__(self, make: Callable[[], Asset]) -> None:
        self._make = make
        self._made: Asset | None = None
        self._one_at_a_time = asyncio.Lock()

    async def get(self) -> Asset:
        async with self._one_at_a_time:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
            return self._made


def read_assets(folder: Path) -> dict[str, Asset]:
    """Every file below `folder` with a known media type, by its path there."""
    files = sorted(file for file in folder.rglob("*") if file.suffix in MEDIA_TYPES)
    return {file.relative_to(folder).as_posix(): Asset.of(file) for file in files}


def _names(if_none_match: str, etag: str) -> bool:
    """Whether the header contains this tag; a compressing proxy turns the tag into a weak one."""
    return etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
