"""Reads a request whose head repeats that of the request before it without the parser."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from harmgauge.api.body.intake import texts
from harmgauge.api.scope import HEADERS
from harmgauge.server.guarded import GuardedHttpProtocol

_SCOPE = (
    *("type", "asgi", "http_version", "server", "client", "scheme", "root_path"),
    *("method", "path", "raw_path", "query_string"),
)
"""Keys of a scope that depend on the head and the connection only."""

_NAME = b"content-length"

LONGEST_BYTES = 2 * 2**10
"""Longer heads are not remembered: each connection keeps one."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)\r\n", re.IGNORECASE)


class _Head(NamedTuple):
    """A head, without the digits of its body's length, and what the parser found in it."""

    before: bytes
    digits: int
    after: bytes
    size_bytes: int
    scope: dict[str, Any]
    headers: list[tuple[bytes, bytes]]
    texts: dict[bytes, str]


class RepeatingHttpProtocol(GuardedHttpProtocol):
    """Remembers the head of a request that arrived whole and alone, if `is_prompt` is true for its scope.

    Clients that keep a connection mostly send the same head again: only the body differs, and its length. If the next
    data consist of the same bytes and a whole body, the parser would find the same request in them. It takes 15 calls
    for that, a quarter of a small request's time on the event loop.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **named)
        self._is_between = True  # the parser has read all of a request, and nothing of the next
        self._begun = 0  # requests that the parser has begun to read
        self._head: _Head | None = None

    def data_received(self, data: bytes) -> None:
        head = self._head
        if head is not None and data.startswith(head.before) and self._is_idle():
            end = len(head.before) + head.digits
            length = data[len(head.before) : end]
            if data.startswith(head.after, end) and length.isdigit() and int(length) == len(data) - head.size_bytes:
                self._repeat(head, length, data)
                return
        self._head = None
        begun, begins = self._begun, self._is_between
        super().data_received(data)
        if begins and self._is_between and self._begun == begun + 1:
            self._remember(data)

    def on_message_begin(self) -> None:
        self._is_between = False
        self._begun += 1
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._is_between = not self.parser.should_upgrade()
        super().on_message_complete()

    def _is_idle(self) -> bool:
        return self.cycle.response_complete and not (
            self.pipeline or self.flow.write_paused or self.transport.is_closing()
        )

    def _repeat(self, head: _Head, length: bytes, data: bytes) -> None:
        self._everyone.active(self, self._address)
        scope: Any = head.scope.copy()
        # a new list of headers, because `_look` compares them
        self.scope, self.headers = scope, head.headers.copy()
        scope["headers"], scope["state"], scope[HEADERS] = self.headers, self.app_state.copy(), head.texts
        if head.texts[_NAME] != (text := str(length, "ascii")):
            self.headers[self.headers.index((_NAME, head.texts[_NAME].encode()))] = _NAME, length
            scope[HEADERS] = head.texts | {_NAME: text}
        try:
            exchange = self._begin(scope, keep_alive=True)
            exchange.body += memoryview(data)[head.size_bytes :]
        except MemoryError:
            self._refuse(503)
            return
        exchange.more_body = False
        exchange.message_event.set()
        self.cycle = self._worked_on = exchange
        if self._is_prompt(scope):
            self._start_now(exchange)
        else:
            self._start_asgi_task(exchange, self.app)

    def _remember(self, data: bytes) -> None:
        """Remember the head of the request that `data` consists of."""
        scope: Any = self.scope
        found = _LENGTH.search(data, 0, LONGEST_BYTES)
        if found is None or not self.cycle.keep_alive or not self._is_prompt(scope):
            return
        begin, end = found.span(1)
        head_bytes = len(data) - int(found[1])
        # A body in chunks may contain such a line, too.
        is_head = data.find(b"\r\n\r\n") == head_bytes - 4 and found.end() < head_bytes
        if is_head and head_bytes <= LONGEST_BYTES:
            self._head = _Head(
                data[:begin],
                end - begin,
                data[end:head_bytes],
                head_bytes,
                {name: scope[name] for name in _SCOPE},
                self.headers.copy(),
                texts(self.headers),
            )
