"""Slower traffic of every other kind, good and bad, each visitor again and again at times of its own."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from service.keys import new_key
from tests.soak.asking import Answer, ask, leave, message
from tests.soak.bundle import CLASSES, FLAGGED_FROM, pictures, score
from tests.soak.calls import Calls
from tests.soak.dialects import INFER, RAW, ROUTES, SCORE
from tests.soak.ledger import Ledger
from tests.soak.numbers import NUMBERS

BURST_ROWS = 4000
LOOKS = (
    "/metrics",
    "/drift",
    "/drift?scores=true",
    "/info",
    "/page/about",
    "/page/info",
    "/page/state",
    "/page/history",
    "/page/embedding",
    "/",
    "/docs",
    "/openapi.json",
    "/livez",
    "/readyz",
    "/v2",
    "/v2/models/toy",
)
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


class Mixed:
    """`keys` are those of other people: "metrics", "greedy" (who sends too much) and "wrong"."""

    def __init__(self, port: int, grpc_port: int, key: str, keys: dict[str, str], max_body_bytes: int) -> None:
        self.ledger = Ledger()
        self._port = port
        self._key = key
        self._keys = keys
        self._max_body_bytes = max_body_bytes
        self._random = random.Random(1)
        self._drawn = np.random.default_rng(1)
        self._calls = Calls(grpc_port, key, self.ledger)
        self._stopping = False
        visitors: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (0.1, self._rows),
            (0.1, self._rows_as_json),
            (0.1, self._rows_as_npy),
            (0.1, self._rows_by_v2),
            (0.2, self._impatient),
            (0.3, self._spoilt),
            (0.5, self._stranger),
            (0.2, self._leaver),
            (0.3, self._tearer),
            (1.0, self._looker),
            (2.0, self._babbler),
            (5.0, self._slow_body),
            (5.0, self._slow_head),
            (5.0, self._giant),
            (20.0, self._greedy),
            (20.0, self._idler),
            (0.02, self._calls.infer),
        ]
        self._tasks = [asyncio.create_task(self._again(*visitor)) for visitor in visitors]

    def use_key(self, key: str) -> None:
        self._key = key
        self._calls.use_key(key)

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)
        await self._calls.close()

    async def _again(self, mean_pause_seconds: float, visit: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping:
            try:
                await visit()
            except Exception as error:
                self.ledger.accuse(f"{visit.__name__}: {error!r}")
            await asyncio.sleep(min(2.0, self._random.expovariate(1 / mean_pause_seconds)))

    # Rows in many forms, each answer checked row by row.

    async def _rows(self) -> None:
        await self._ask_rows(SCORE, self._numbers(64), lambda rows: rows.tobytes(), "application/octet-stream")

    async def _rows_as_json(self) -> None:
        await self._ask_rows(SCORE, self._numbers(16), lambda rows: _json({"instances": rows.tolist()}), _JSON)

    async def _rows_as_npy(self) -> None:
        await self._ask_rows(SCORE, self._numbers(64), _npy, "application/x-npy")

    async def _rows_by_v2(self) -> None:
        def body(rows: Any) -> bytes:
            tensor = {"name": "input", "datatype": "UINT8", "shape": list(rows.shape), "data": rows.tolist()}
            return _json({"inputs": [tensor]})

        await self._ask_rows(INFER, self._numbers(16), body, _JSON)

    async def _greedy(self) -> None:
        """More rows at once than its key may have; neither may others be hurt."""
        for _ in range(8):
            numbers = self._drawn.integers(0, NUMBERS, BURST_ROWS).tolist()
            await self._ask_rows(
                SCORE, numbers, lambda rows: rows.tobytes(), "application/octet-stream", key=self._keys["greedy"]
            )

    async def _impatient(self) -> None:
        more = {"X_Harmgauge_Deadline_Seconds": "0.001"}
        await self._ask_rows(SCORE, self._numbers(8), lambda rows: rows.tobytes(), "application/octet-stream", **more)

    async def _ask_rows(
        self,
        path: str,
        numbers: list[int],
        body: Callable[[Any], bytes],
        media_type: str,
        key: str = "",
        **headers: str,
    ) -> None:
        sent = message(path, body(pictures(numbers)), Content_Type=media_type, **self._bearer(key), **headers)
        answer = await ask(self._port, sent)
        self._note(ROUTES[path], answer)
        if answer.status == 200:
            _check(answer.document, numbers, self.ledger)
        elif answer.status not in (429, 504):
            self.ledger.accuse(f"{path} with {len(numbers)} rows: {answer}")

    # What is wrong, and must be told so.

    async def _spoilt(self) -> None:
        media_type, body, due = self._random.choice(SPOILT)
        answer = await ask(self._port, message(SCORE, body, Content_Type=media_type, **self._bearer()))
        self._note(SCORE, answer, due)

    async def _stranger(self) -> None:
        key, due = self._random.choice([("", 401), (new_key("x")[0], 401), (self._keys["metrics"], 403)])
        headers = self._bearer(key) if key else {}
        self._note(SCORE, await ask(self._port, message(SCORE, RAW.body(1), **headers)), due)

    async def _giant(self) -> None:
        large = bytes(self._max_body_bytes + 1)
        if self._random.random() < 0.5:
            sent = message(SCORE, large, Content_Type="application/octet-stream", **self._bearer())
        else:
            head = message(SCORE, b"", "PUT", Transfer_Encoding="chunked", **self._bearer()).replace(b"PUT", b"POST")
            sent = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
        self._note(SCORE, await ask(self._port, sent), 413)

    async def _babbler(self) -> None:
        """What is no HTTP; the server answers it before the service sees anything."""
        answer = await ask(self._port, self._random.choice([b"HELLO\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01"]))
        if answer.status != 400:
            self.ledger.accuse(f"babble was answered with {answer}")

    # Clients that leave, and clients that dawdle.

    async def _leaver(self) -> None:
        sent, whole = self._cut()
        await leave(self._port, sent, self._random.choice([0, 0.001, 0.01]), tear=False)
        self._left(self.ledger.left, sent, whole)

    async def _tearer(self) -> None:
        sent, whole = self._cut()
        await leave(self._port, sent, self._random.choice([0, 0.001, 0.01]), tear=True)
        self._left(self.ledger.reset, sent, whole)

    async def _slow_head(self) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        for byte in message(SCORE, RAW.body(1))[:40]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)
        writer.close()

    async def _slow_body(self) -> None:
        """Its body never becomes whole: it is told so at its deadline."""
        body = RAW.body(1)
        sent = message(SCORE, body, X_Harmgauge_Deadline_Seconds="0.5", **self._bearer())[: -len(body) + 3]
        self._note(SCORE, await ask(self._port, sent), 504)

    async def _idler(self) -> None:
        """Connections on which nothing comes."""
        made = [await asyncio.open_connection("127.0.0.1", self._port) for _ in range(20)]
        for _ in range(15):
            if not self._stopping:
                await asyncio.sleep(1)
        for _, writer in made:
            writer.close()

    async def _looker(self) -> None:
        path = self._random.choice(LOOKS)
        answer = await ask(self._port, message(path, b"", "GET", **self._bearer(self._keys["metrics"])))
        allowed = {200, 403} if path.startswith("/v2") else {200}
        if answer.status not in allowed:
            self.ledger.accuse(f"{path}: {answer}")
        if answer.status != 200:
            self.ledger.codes[answer.document["code"]] += 1

    def _cut(self) -> tuple[bytes, bool]:
        """A good request, cut off somewhere, and whether it is whole."""
        whole = message(SCORE, RAW.body(7), Content_Type="application/octet-stream", **self._bearer())
        head = len(whole) - len(RAW.body(7))
        sent = whole[: self._random.choice([5, head - 2, head, head + 1, len(whole) - 1, len(whole)])]
        return sent, len(sent) == len(whole)

    def _left(self, count: Any, sent: bytes, whole: bool) -> None:
        if b"\r\n\r\n" in sent:
            count[SCORE] += 1
            self.ledger.perhaps_rows += whole

    def _numbers(self, most: int) -> list[int]:
        return [self._random.randrange(NUMBERS) for _ in range(self._random.randint(2, most))]

    def _bearer(self, key: str = "") -> dict[str, str]:
        return {"Authorization": f"Bearer {key or self._key}"}

    def _note(self, route: str, answer: Answer, due: int | None = None) -> None:
        self.ledger.answers[f"{route} {answer.status}"] += 1
        if answer.status != 200:
            self.ledger.codes[answer.document["code"]] += 1
        if due is not None and answer.status not in (due, 429):
            self.ledger.accuse(f"{due} was due: {answer}")


_JSON = "application/json"


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def _npy(rows: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, rows)
    return stream.getvalue()


def _check(document: Any, numbers: list[int], ledger: Ledger) -> None:
    """Every row of an answer of `/score` or of V2 has its own score, flag and prediction."""
    if "outputs" in document:
        tensors = {tensor["name"]: tensor["data"] for tensor in document["outputs"]}
        version, found = (
            document["model_version"],
            (tensors["score"], tensors["is_adversarial"], tensors["predictions"]),
        )
    else:
        version = document["version"]
        found = (document["scores"], document["is_adversarial"], document["predictions"])
    due = (
        [score(number, version) for number in numbers],
        [number >= FLAGGED_FROM for number in numbers],
        [number % CLASSES for number in numbers],
    )
    if found != due:
        ledger.accuse(f"rows {numbers[:5]}... of version {version}: {str(document)[:300]}")
        return
    ledger.rows += len(numbers)
    ledger.flagged += sum(due[1])
