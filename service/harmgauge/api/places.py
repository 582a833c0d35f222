"""Limits how many potentially large responses to operators are sent at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from harmgauge.api.answer import Piece, PiecewiseResponse
from harmgauge.api.shared import Shared
from harmgauge.errors import CallerLeft, Overloaded


class Pieces(NamedTuple):
    """A response that may be sent to many clients: its body and its specific headers."""

    body: list[Piece]
    headers: Mapping[str, str] = MappingProxyType({})


class Places:
    """Bounds how many potentially large responses are sent at a time, and for how long.

    Otherwise each slow client would keep its own response in memory.
    """

    def __init__(self, places: int = 4, wait_seconds: float = 10.0, send_seconds: float = 60.0) -> None:
        self.free = asyncio.Semaphore(places)
        self.wait_seconds = wait_seconds
        self.send_seconds = send_seconds


class PlacedResponse(Response):
    """The response of `shared`, built when there is a place for it.

    Raises Overloaded if there is none in time, and CallerLeft for a client that takes too long.
    """

    def __init__(self, places: Places, shared: Shared[Pieces], media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._places = places
        self._shared = shared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        places = self._places
        try:
            await asyncio.wait_for(places.free.acquire(), places.wait_seconds)
        except TimeoutError:
            raise Overloaded(
                "Too many clients are still reading answers like this one; try again later.", retry_after_seconds=5
            ) from None
        try:
            body, headers = await self._shared.get()
            async with asyncio.timeout(places.send_seconds):
                await PiecewiseResponse(body, self.media_type, headers)(scope, receive, send)
        except TimeoutError:
            raise CallerLeft from None
        finally:
            places.free.release()
