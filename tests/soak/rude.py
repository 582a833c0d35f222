"""Clients that send invalid requests and must get errors, clients that leave, and slow clients."""

from __future__ import annotations

import asyncio
from typing import Any

from harmgauge.auth.keys import new_key
from tests.soak.asking import ask, leave, message
from tests.soak.dialects import RAW, SCORE
from tests.soak.limits import MAX_BODY_BYTES
from tests.soak.visitor import Visitor

IDLE_SECONDS = 10.0

SPOILT: tuple[tuple[str, bytes, int], ...] = (
    ("application/json", b'{"instances": [[1, 2', 400),
    ("application/json", b'{"instances": [[1, 2], [3]]}', 422),
    ("application/json", b'{"instances": "none", "surprise": 1}', 422),
    ("application/octet-stream", b"", 400),
    ("application/octet-stream", b"seven b", 422),
    ("application/x-npy", b"\x93NUMPY\x01\x00\xff\xffrubbish", 400),
    ("image/png", b"\x89PNG\r\n\x1a\nrubbish", 400),
    ("text/plain", b"hello", 415),
)


class Rude(Visitor):
    async def spoilt(self) -> None:
        media_type, body, due = self.random.choice(SPOILT)
        answer = await ask(self.port, message(SCORE, body, Content_Type=media_type, **self.bearer()))
        self.note(SCORE, answer, due)

    async def stranger(self) -> None:
        key, due = self.random.choice([("", 401), (new_key("x")[0], 401), (self.others["metrics"], 403)])
        headers = self.bearer(key) if key else {}
        self.note(SCORE, await ask(self.port, message(SCORE, RAW.body(1), **headers)), due)

    async def giant(self) -> None:
        large = bytes(MAX_BODY_BYTES + 1)
        if self.random.random() < 0.5:
            sent = message(SCORE, large, Content_Type="application/octet-stream", **self.bearer())
        else:
            head = message(SCORE, b"", "PUT", Transfer_Encoding="chunked", **self.bearer()).replace(b"PUT", b"POST")
            sent = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
        self.note(SCORE, await ask(self.port, sent), 413)

    async def babbler(self) -> None:
        """Sends something other than HTTP; the server answers before the service sees anything."""
        answer = await ask(self.port, self.random.choice([b"HELLO\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01"]))
        if answer.status != 400:
            self.ledger.accuse(f"babble was answered with {answer}")

    async def leaver(self) -> None:
        sent, whole = self._cut()
        await leave(self.port, sent, self.random.choice([0, 0.001, 0.01]), tear=False)
        self._left(self.ledger.left, sent, whole)

    async def tearer(self) -> None:
        sent, whole = self._cut()
        await leave(self.port, sent, self.random.choice([0, 0.001, 0.01]), tear=True)
        self._left(self.ledger.reset, sent, whole)

    async def slow_head(self) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for byte in message(SCORE, RAW.body(1))[:40]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)
        writer.close()

    async def slow_body(self) -> None:
        """Never completes its body, and gets an error at its deadline."""
        body = RAW.body(1)
        sent = message(SCORE, body, X_Harmgauge_Deadline_Seconds="0.5", **self.bearer())[: -len(body) + 3]
        self.note(SCORE, await ask(self.port, sent), 504)

    async def idler(self) -> None:
        """Opens connections on which nothing is sent."""
        made = [await asyncio.open_connection("127.0.0.1", self.port) for _ in range(20)]
        await asyncio.sleep(IDLE_SECONDS)
        for _, writer in made:
            writer.close()

    def _cut(self) -> tuple[bytes, bool]:
        """A valid request, cut off somewhere, and whether it is whole."""
        whole = message(SCORE, RAW.body(7), Content_Type="application/octet-stream", **self.bearer())
        head = len(whole) - len(RAW.body(7))
        sent = whole[: self.random.choice([5, head - 2, head, head + 1, len(whole) - 1, len(whole)])]
        return sent, len(sent) == len(whole)

    def _left(self, count: Any, sent: bytes, whole: bool) -> None:
        if b"\r\n\r\n" in sent:
            count[SCORE] += 1
            self.ledger.perhaps_rows += whole
