"""Uvicorn's HTTP protocol, for clients that offer to go on in another one: the offer is ignored, the request answered.

RFC 9110 (7.8) lets a server do that. Java's HttpClient offers HTTP/2 by default, and so does `curl --http2`. The parser
takes such a head for the last of HTTP on its connection. Uvicorn then drops the body, or reads it as the next request,
which whoever wrote the body could choose.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from service.corked import CorkedHttpProtocol


class OfferIgnoringHttpProtocol(CorkedHttpProtocol):
    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._parse(rest) :]
        except HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():  # else only the head is complete
            super().on_message_complete()

    def _parse(self, data: memoryview) -> int:
        """Feed the parser; gives how much it took."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            self._parse_again_without_offer()
            taken: int = offer.args[0]
            return taken
        return len(data)

    def _parse_again_without_offer(self) -> None:
        """Have a new parser where the old one was, behind a head that offers nothing."""
        version = self.parser.get_http_version().encode()
        fields = [b"%s: %s\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = HttpRequestParser(_AfterTheHead(self))
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        # The request is known from the first time: the method changes nothing of how its body is read.
        self.parser.feed_data(b"POST / HTTP/%s\r\n%s\r\n" % (version, b"".join(fields)))


class _AfterTheHead:
    """What a parser reports to that is given a head for the second time: nothing of that head is passed on."""

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
