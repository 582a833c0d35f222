"""A connection that requests single rows, checks the whole of each response, and repeats."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque
from typing import TYPE_CHECKING, cast

from tests.soak.dialects import ROUTES, Dialect
from tests.soak.ledger import Unanswered

if TYPE_CHECKING:
    from tests.soak.fast import FastClient

_REFUSALS = (b"429", b"503", b"504")
_VERSION = re.compile(rb'version":"(\w+)"')


class Connection(asyncio.Protocol):
    """A connection that is reopened when it is lost. `waiting` are the numbers in flight and when they were sent."""

    def __init__(self, client: FastClient, dialect: Dialect, depth: int) -> None:
        self._client = client
        self._ledger = client.ledger
        self._dialect = dialect
        self._depth = depth
        self._kind = f"{dialect.name}, {depth} in flight" if depth > 1 else dialect.name
        self._good = f"{ROUTES[dialect.path]} 200"
        self._transport: asyncio.Transport | None = None
        self._kept = b""
        self._told = False
        self._how = ""
        self._version = "1"
        self.times_made = 0
        self.waiting: deque[tuple[int, float]] = deque()
        self.use_key(client.key)

    def use_key(self, key: str) -> None:
        self._request = self._dialect.request(key)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._kept, self._told, self._how = b"", False, ""
        self.times_made += 1
        self._client.free(self, self._depth)

    def send(self, requests: int) -> None:
        if self._transport is None or self._told:  # lost, or soon to be, since it was free
            return
        messages = []
        now = time.monotonic()
        for _ in range(requests):
            try:
                number = self._client.number()
            except StopIteration:
                break
            messages.append(self._request(number))
            self.waiting.append((number, now))
        self._transport.write(messages[0] if len(messages) == 1 else b"".join(messages))

    def data_received(self, data: bytes) -> None:
        if self._kept:
            data = self._kept + data
        begin = answered = 0
        while (head_end := data.find(b"\r\n\r\n", begin)) >= 0:
            at = data.find(b"\r\ncontent-length: ", begin, head_end + 2) + 18
            end = head_end + 4 + int(data[at : data.find(b"\r", at)])
            if len(data) < end:
                break
            if not self.waiting:
                self._ledger.accuse(f"{self._kind}: an answer to nothing: {data[begin:end]!r}")
                break
            number, sent = self.waiting.popleft()
            self._client.latencies_seconds.append(time.monotonic() - sent)
            body = data[head_end + 4 : end]
            if data[begin + 9 : begin + 12] == b"200":
                self._check(number, body)
            else:
                self._refused(number, data[begin + 9 : begin + 12], body)
            if data.find(b"\r\nconnection: close", begin, head_end + 2) >= 0:
                self._told = True
            begin = end
            answered += 1
        self._kept = data[begin:]
        if answered:
            self._client.free(self, answered)

    def _check(self, number: int, body: bytes) -> None:
        ledger = self._ledger
        if body != self._dialect.answer(number, self._version):
            found = _VERSION.search(body)
            self._version = found[1].decode() if found else ""
            if self._version not in ("1", "2") or body != self._dialect.answer(number, self._version):
                self._version = "1"
                ledger.accuse(f"{self._kind}: {number} was answered with {body!r}", swapped=True)
                return
        ledger.single += 1
        ledger.rows += 1
        ledger.flagged += self._dialect.is_flagged(number)
        ledger.answers[self._good] += 1
        ledger.by_kind[self._kind] += 1

    def _refused(self, number: int, status: bytes, body: bytes) -> None:
        self._ledger.answers[f"{self._good[:-4]} {status.decode()}"] += 1
        try:
            code = json.loads(body)["code"]
        except (ValueError, KeyError):
            code = "none"
        self._ledger.codes[code] += 1
        if status in _REFUSALS:
            self._client.again.append(number)
        else:
            self._ledger.accuse(f"{self._kind}: {number} was answered with {status!r} {body!r}")

    def connection_lost(self, error: Exception | None) -> None:
        gone = time.monotonic()
        how = self._how or (type(error).__name__ if error else "closed")
        if self._kept:
            how += ", in the middle of an answer"
        for ahead, (number, sent) in enumerate(self.waiting):
            self._ledger.unanswered.append(Unanswered(sent, gone, how, ahead, self._told))
            self._client.again.append(number)
        self.waiting.clear()
        self._transport = None
        self._client.lost(self)

    def end(self, how: str) -> None:
        """Close it, whatever still waits."""
        if self._transport is not None:
            self._how = how
            self._transport.abort()
