"""Uvicorn's HTTP protocol, with one write per response, and without upgrades to other protocols.

Each class adds one feature and names the problem that it fixes. `prompt.py`, `pipelined.py`, `guarded.py` and
`repeated.py` build on these, in that order. `pipelined.py` and `guarded.py` bound the data that a client can send or
keep, and `guarded.py` the time of an idle connection. `HttpCall` bounds a body, in bytes and by its deadline.
"""

from __future__ import annotations

import asyncio
from typing import cast

import uvicorn
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from harmgauge.errors import SettingsError
from harmgauge.server.corked import CorkedTransport

_OVERRIDDEN = {
    HttpToolsProtocol: (
        *("connection_made", "connection_lost", "data_received", "on_message_begin", "on_header"),
        *("on_headers_complete", "on_body", "on_message_complete", "on_response_complete", "send_400_response"),
        *("pause_writing", "resume_writing", "_start_asgi_task"),
    ),
    RequestResponseCycle: ("run_asgi", "receive", "send"),
    FlowControl: ("resume_reading",),
    uvicorn.Server: ("startup", "shutdown", "handle_exit", "on_tick"),
}
"""Names that the classes here and `stopping.Server` override or call; a new version of uvicorn may rename them."""


def check_uvicorn() -> None:
    """Raises SettingsError if the installed uvicorn lacks anything that the service overrides."""
    for base, names in _OVERRIDDEN.items():
        for name in names:
            if not callable(getattr(base, name, None)):
                raise SettingsError(
                    f"uvicorn {uvicorn.__version__} is not supported: {base.__name__} has no {name}. Install the "
                    "version that harmgauge requires: pip install --upgrade harmgauge"
                )


class CorkedHttpProtocol(HttpToolsProtocol):
    """Sends the head and body of a response in one write.

    Uvicorn writes them one after the other. Each write is a system call, a packet and a wake-up of the client: a tenth
    of the event loop's work for a small request.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's is wider
        super().connection_made(cast("asyncio.Transport", CorkedTransport(transport, self.loop)))


class OfferIgnoringHttpProtocol(CorkedHttpProtocol):
    """Answers clients that offer to upgrade to another protocol, and ignores the offer, as RFC 9110 (7.8) allows.

    Java's HttpClient offers HTTP/2 by default, and so does `curl --http2`. The parser treats such a head as the last
    HTTP message of its connection. Uvicorn then drops the body, or reads it as the next request, which the body's
    author could choose.
    """

    def data_received(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._parse(rest) :]
        except HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():  # otherwise only the head is complete
            super().on_message_complete()

    def _parse(self, data: memoryview) -> int:
        """Feed the parser; returns the number of bytes consumed."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            self._parse_again_without_offer()
            taken: int = offer.args[0]
            return taken
        return len(data)

    def _parse_again_without_offer(self) -> None:
        """Replace the parser, and feed the new one the head without the offer."""
        version = self.parser.get_http_version().encode()
        fields = [b"%s: %s\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = HttpRequestParser(_AfterTheHead(self))
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in uvicorn
        # The first parser has read the request: the method does not affect how its body is read.
        self.parser.feed_data(b"POST / HTTP/%s\r\n%s\r\n" % (version, b"".join(fields)))


class _AfterTheHead:
    """Receives the events of a parser that is fed a head for the second time, and drops those of the head."""

    def __init__(self, protocol: OfferIgnoringHttpProtocol) -> None:
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete
        self._protocol = protocol
        self._is_behind = False

    def on_message_begin(self) -> None:
        if self._is_behind:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._is_behind:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_behind:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_behind:
            self._protocol.on_headers_complete()
        self._is_behind = True
