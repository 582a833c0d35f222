"""A request as its server sees it.

ASGI passes messages: a body, a response and the question whether the client is still connected take 20 us of CPU that
way, and a few as plain calls. Everything that these calls do not offer goes through ASGI as usual.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Exchange(Protocol):
    """One request and its response."""

    def whole_body(self) -> bytearray | None:
        """Take the body if all of it has arrived; otherwise None, and it must be received in messages."""

    def is_receiving(self) -> bool:
        """Whether a part of the body is yet to come."""

    def has_left(self) -> bool:
        """Whether the client has disconnected."""

    def abort(self) -> None:
        """Abort the connection, discarding unsent data."""

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole response, whose headers include its length and contain no line breaks.

        Returns False if the client has to take earlier data first: then the response must be sent in messages, which
        wait for that.
        """
