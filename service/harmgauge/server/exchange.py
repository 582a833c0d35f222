"""Uvicorn's side of a request and its response, with direct calls beside ASGI's messages."""

from __future__ import annotations

from collections.abc import Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle


class ServerExchange(RequestResponseCycle):
    """Implements `api.exchange.Exchange`."""

    head_bytes = 0
    """Estimated memory of the head while the request waits for those ahead of it."""

    def whole_body(self) -> bytearray | None:
        if self.more_body or self.disconnected:
            return None
        self.waiting_for_100_continue = False  # the client has not waited for it
        body, self.body = self.body, bytearray()
        if self.flow.read_paused:
            self.flow.resume_reading()  # otherwise nobody would notice that the client leaves
        return body

    def is_receiving(self) -> bool:
        return self.more_body

    def has_left(self) -> bool:
        if self.flow.read_paused:
            self.flow.resume_reading()
        return self.disconnected

    def abort(self) -> None:
        self.transport.abort()

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        if self.flow.write_paused or self.response_started or self.scope["method"] == "HEAD":
            return False
        if self.disconnected:
            return True
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        lines = [STATUS_LINE[status]]
        for name, value in (*self.default_headers, *headers):
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        lines.append(body)
        self.transport.write(b"".join(lines))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True
