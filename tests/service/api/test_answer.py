"""Large responses in pieces: the same bytes, no piece too long, and none sent before the client has taken the last."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest
from starlette.types import Message

from harmgauge.api.answer import (
    JSON_BYTES,
    PIECE_BYTES,
    PIECE_VALUES,
    PiecewiseResponse,
    binary_pieces,
    json_pieces,
    most_json_bytes,
)

RANDOM = np.random.default_rng(0)

ARRAYS: list[npt.NDArray[Any]] = [
    RANDOM.random(0),
    RANDOM.random(3),
    RANDOM.random(PIECE_VALUES),
    RANDOM.random(PIECE_VALUES + 1) * -1e-300,
    RANDOM.random((500, 100)).astype(np.float32),
    RANDOM.random((3, PIECE_VALUES + 7)),
    np.arange(5 * PIECE_VALUES) % 2 == 0,
    np.arange(5 * PIECE_VALUES),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_pieces_are_the_whole(array: npt.NDArray[Any]) -> None:
    document = {"a": array, "b": [{"ü": array, "none": None}, {}], "empty": [], "last": array}
    pieces = list(json_pieces(document))
    assert b"".join(pieces) == orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert b"".join(binary_pieces(array)) == array.tobytes()


@pytest.mark.parametrize(
    ("dtype", "worst"),
    [
        ("float32", np.array([-1.17549435e-38, -3.4028235e38, 1.4e-45, -1.0000001e-10])),
        ("float64", np.array([-2.2250738585072014e-308, -1.7976931348623157e308, -4.9e-324])),
        ("int64", np.array([np.iinfo(np.int64).min])),
        ("bool", np.array([False])),
    ],
)
def test_no_number_takes_more_than_it_is_bounded_by(dtype: str, worst: npt.NDArray[Any]) -> None:
    values = worst.astype(dtype)
    if dtype.startswith("float"):
        bits = RANDOM.integers(0, 2**32 if dtype == "float32" else 2**63, 20_000, np.uint64)
        drawn = bits.astype(np.uint32 if dtype == "float32" else np.uint64).view(dtype)
        values = np.concatenate([values, drawn[np.isfinite(drawn)]])
    longest = max(len(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)) for value in values)
    assert longest + 1 <= JSON_BYTES[dtype]
    table = values[:1].repeat(60).reshape(20, 3)
    body = b"".join(json_pieces({"table": table}))
    assert len(body) - len(b'{"table":}') <= most_json_bytes(20, [(dtype, 3)]) + len("[]")


@pytest.mark.anyio
async def test_pieces_go_out_one_by_one() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody asks")

    response = PiecewiseResponse([b"ab", memoryview(b"cde")], media_type="application/json", headers={"A": "b"})
    await response({"type": "http"}, receive, send)
    start, *bodies = sent
    headers = dict(start["headers"])
    assert headers == {b"a": b"b", b"content-length": b"5", b"content-type": b"application/json"}
    assert b"".join(message["body"] for message in bodies) == b"abcde"
    assert [message["more_body"] for message in bodies] == [True, True, False]
