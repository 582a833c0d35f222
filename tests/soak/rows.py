"""Requests with several rows, in every form; each response is checked row by row."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.soak.asking import ask, message
from tests.soak.dialects import INFER, ROUTES, SCORE
from tests.soak.ledger import Ledger
from tests.soak.numbers import NUMBERS
from tests.soak.pictures import CLASSES, FLAGGED_FROM, pictures, score
from tests.soak.visitor import Visitor

BURST_ROWS = 4000

_RAW, _JSON, _NPY = "application/octet-stream", "application/json", "application/x-npy"


class Rows(Visitor):
    async def rows(self) -> None:
        await self._ask_rows(SCORE, self._numbers(64), lambda rows: rows.tobytes(), _RAW)

    async def rows_as_json(self) -> None:
        await self._ask_rows(SCORE, self._numbers(16), lambda rows: _json({"instances": rows.tolist()}), _JSON)

    async def rows_as_npy(self) -> None:
        await self._ask_rows(SCORE, self._numbers(64), _npy, _NPY)

    async def rows_by_v2(self) -> None:
        def body(rows: Any) -> bytes:
            tensor = {"name": "input", "datatype": "UINT8", "shape": list(rows.shape), "data": rows.tolist()}
            return _json({"inputs": [tensor]})

        await self._ask_rows(INFER, self._numbers(16), body, _JSON)

    async def greedy(self) -> None:
        """Sends more rows at once than its key allows; others must not be affected."""
        for _ in range(8):
            numbers = self._many()
            await self._ask_rows(SCORE, numbers, lambda rows: rows.tobytes(), _RAW, key=self.others["greedy"])

    async def impatient(self) -> None:
        more = {"X_Harmgauge_Deadline_Seconds": "0.001"}
        await self._ask_rows(SCORE, self._numbers(8), lambda rows: rows.tobytes(), _RAW, **more)

    async def _ask_rows(
        self,
        path: str,
        numbers: list[int],
        body: Callable[[Any], bytes],
        media_type: str,
        key: str = "",
        **headers: str,
    ) -> None:
        sent = message(path, body(pictures(numbers)), Content_Type=media_type, **self.bearer(key), **headers)
        answer = await ask(self.port, sent)
        self.note(ROUTES[path], answer)
        if answer.status == 200:
            _check(answer.document, numbers, self.ledger)
        elif answer.status not in (429, 504):
            self.ledger.accuse(f"{path} with {len(numbers)} rows: {answer}")

    def _numbers(self, most: int) -> list[int]:
        return [self.random.randrange(NUMBERS) for _ in range(self.random.randint(2, most))]

    def _many(self) -> list[int]:
        return [self.random.getrandbits(24) for _ in range(BURST_ROWS)]


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def _npy(rows: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, rows)
    return stream.getvalue()


def _check(document: Any, numbers: list[int], ledger: Ledger) -> None:
    """Check that every row of a response of `/score` or V2 has its own score, flag and prediction."""
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
        ledger.accuse(f"rows {numbers[:5]}... of version {version}: {str(document)[:300]}", swapped=True)
        return
    ledger.rows += len(numbers)
    ledger.flagged += sum(due[1])
