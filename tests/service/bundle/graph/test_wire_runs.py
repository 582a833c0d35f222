"""Numbers encoded one by one are read by the thousand, with the same result as one at a time."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.bundle.graph.wire import Field, Malformed, Reader, signed

SCHEMA = {8: Field("ints", "int", repeated=True), 7: Field("floats", "float", repeated=True), 1: Field("i", "int")}
INTEGERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 200))


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def read(message: bytes) -> list[tuple[str, list[float]]]:
    reader = Reader(10**6)
    found: list[tuple[str, list[float]]] = []
    for name, number, content in reader.fields(memoryview(message), SCHEMA, "it"):
        if name == "floats":
            values = [float(value) for (value,) in struct.iter_unpack("<f", content)]
        elif name == "ints":
            values = [int(value) for value in reader.many(number, content)]
        else:
            values = [signed(number)]
        if found and found[-1][0] == name:
            found[-1][1].extend(values)
        else:
            found.append((name, values))
    return found


@given(st.lists(st.tuples(st.sampled_from(["ints", "packed", "floats"]), st.lists(INTEGERS, min_size=1, max_size=40))))
def test_runs_and_packed_numbers_are_what_they_are_one_by_one(parts: list[tuple[str, list[int]]]) -> None:
    message, expected = b"", list[tuple[str, list[float]]]()
    for kind, values in parts:
        numbers: list[float] = list(values)
        if kind == "ints":
            message += b"".join(b"\x40" + varint(value) for value in values)
        elif kind == "packed":
            content = b"".join(varint(value) for value in values)
            message += b"\x42" + varint(len(content)) + content
        else:
            numbers = [float(np.float32(value)) for value in values]
            message += b"".join(b"\x3d" + struct.pack("<f", value) for value in numbers)
        name = "floats" if kind == "floats" else "ints"
        if expected and expected[-1][0] == name:
            expected[-1][1].extend(numbers)
        else:
            expected.append((name, numbers))
    assert read(message) == expected


@pytest.mark.parametrize("end", [b"\x40", b"\x40\x80", b"\x40" + b"\x80" * 10 + b"\x00", b"\x3d\x00\x00\x00"])
def test_a_run_that_ends_in_the_middle_of_a_number_is_refused(end: bytes) -> None:
    with pytest.raises(Malformed):
        read(b"\x40\x01" * 1000 + end)


def test_a_field_that_may_come_once_is_no_run() -> None:
    with pytest.raises(Malformed, match="twice"):
        read(b"\x08\x01\x08\x01")


def test_a_million_numbers_cost_as_their_bytes_do() -> None:
    reader = Reader(100_000)
    message = b"\x40\x05" * 1_000_000
    total = sum(
        int(reader.many(number, content).sum())
        for _, number, content in reader.fields(memoryview(message), SCHEMA, "it")
    )
    assert total == 5_000_000
    with pytest.raises(Malformed, match="more parts"):
        list(Reader(10_000).fields(memoryview(message), SCHEMA, "it"))
