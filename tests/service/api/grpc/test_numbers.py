"""Numbers of `contents` read by numpy, compared with protobuf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harmgauge.api.grpc import numbers
from harmgauge.api.grpc.protocol import methods
from harmgauge.api.grpc.wire import block, split
from harmgauge.errors import Unreadable

REQUEST = methods()["ModelInfer"][0]


def unpacked(data: bytes, name: str) -> list[Any]:
    chunks = split(data).contents
    assert chunks is not None
    found = numbers.packed(chunks, name)
    array = numbers.unpack(found, name, numbers.count(found, name))
    assert array.dtype == numbers.KINDS[name].dtype
    values: list[Any] = array.tolist()
    return values


@pytest.mark.parametrize("name", numbers.KINDS)
def test_numbers_are_those_of_protobuf(name: str) -> None:
    dtype = np.dtype(numbers.KINDS[name].dtype)

    @given(arrays.arrays(dtype, st.integers(1, 200), elements=arrays.from_dtype(dtype, allow_nan=False)))
    def check(values: np.ndarray[Any, Any]) -> None:
        message = REQUEST()
        getattr(message.inputs.add().contents, name).extend(values.tolist())
        data = message.SerializeToString()
        assert unpacked(data, name) == values.tolist()
        if name != "uint64_contents":  # no output has this type
            assert numbers.pack(values) in data

    check()


@pytest.mark.parametrize("name", ["bool_contents", "int_contents", "int64_contents", "uint_contents"])
@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 9)), min_size=1, max_size=20))
def test_varints_may_be_longer_than_they_need(name: str, values: list[tuple[int, int]]) -> None:
    data = b""
    for value, most in values:
        digits = [value >> 7 * index & 127 for index in range(10)]
        length = max(most + 1, *(index + 1 for index, digit in enumerate(digits) if digit or index == 0))
        data += bytes([digit | 128 for digit in digits[: length - 1]] + [digits[length - 1]])
    kind = numbers.KINDS[name]
    sent = block(5 << 3 | 2, block(5 << 3 | 2, block(kind.number << 3 | 2, data)))
    assert unpacked(sent, name) == list(getattr(REQUEST.FromString(sent).inputs[0].contents, name))


def test_numbers_across_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "PIECE_BYTES", 64)
    values = np.random.default_rng(0).integers(0, 2**32, 3000, np.uint32) >> np.arange(3000, dtype=np.uint32) % 32
    message = REQUEST()
    message.inputs.add().contents.uint_contents.extend(values.tolist())
    assert unpacked(message.SerializeToString(), "uint_contents") == values.tolist()


@pytest.mark.parametrize("data", [b"\x80", b"\1\xff", b"\xff" * 10 + b"\1", b"\xff" * 300_000 + b"\1"], ids=len)
def test_what_are_no_numbers_is_refused(data: bytes) -> None:
    sent = block(5 << 3 | 2, block(5 << 3 | 2, block(4 << 3 | 2, data)))
    with pytest.raises(Unreadable, match=r"not a valid inference\.ModelInferRequest"):
        unpacked(sent, "uint_contents")
    with pytest.raises(Unreadable, match=r"not a valid inference\.ModelInferRequest"):
        unpacked(block(5 << 3 | 2, block(5 << 3 | 2, block(6 << 3 | 2, b"123"))), "fp32_contents")
