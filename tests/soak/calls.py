"""Single rows over gRPC, one call after another on one channel."""

from __future__ import annotations

import struct

import grpc

from harmgauge.api.grpc import INFER_ROUTE
from harmgauge.api.grpc.protocol import SERVICE, methods
from tests.soak.ledger import Ledger
from tests.soak.numbers import NUMBERS, numbers
from tests.soak.pictures import CLASSES, FLAGGED_FROM, SHAPE, picture, score

_REFUSALS = ("rate_limited", "queue_full", "deadline_passed")


FIRST = NUMBERS - 2**20
"""Counters from here on are for gRPC."""


class Calls:
    def __init__(self, port: int, key: str, ledger: Ledger) -> None:
        request_type, response_type = methods()["ModelInfer"]
        self._request_type = request_type
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._infer = self._channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        self._ledger = ledger
        self._numbers = numbers(FIRST, NUMBERS)
        self.use_key(key)

    def use_key(self, key: str) -> None:
        self._metadata = (("authorization", f"Bearer {key}"),)

    async def infer(self) -> None:
        """Score one input and check the whole response."""
        number = next(self._numbers)
        request = self._request_type(model_name="toy", id=str(number), raw_input_contents=[picture(number)])
        request.inputs.add(name="input", datatype="UINT8", shape=[1, *SHAPE])
        request.outputs.add(name="score")
        request.outputs.add(name="predictions")
        try:
            answer = await self._infer(request, metadata=self._metadata, timeout=30)
        except grpc.aio.AioRpcError as error:
            self._refused(error)
            return
        self._ledger.answers[f"{INFER_ROUTE} OK"] += 1
        raw = [struct.pack("<f", score(number, answer.model_version)), struct.pack("<q", number % CLASSES)]
        if list(answer.raw_output_contents) != raw or answer.id != str(number):
            self._ledger.accuse(f"gRPC: {number} was answered with {answer}", swapped=True)
            return
        self._ledger.single += 1
        self._ledger.by_kind["gRPC"] += 1
        self._ledger.rows += 1
        self._ledger.flagged += number >= FLAGGED_FROM

    def _refused(self, error: grpc.aio.AioRpcError) -> None:
        code = dict(error.trailing_metadata() or ()).get("code", "none")
        self._ledger.answers[f"{INFER_ROUTE} {error.code().name}"] += 1
        self._ledger.codes[str(code)] += 1
        if code not in _REFUSALS:
            self._ledger.accuse(f"gRPC: {error.code().name} {error.details()}")

    async def close(self) -> None:
        await self._channel.close()
