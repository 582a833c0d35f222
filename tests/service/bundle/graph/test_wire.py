"""The wire format, compared with protobuf's own parser."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, NodeProto, TensorProto

from harmgauge.bundle.graph import schema
from harmgauge.bundle.graph.wire import Malformed, Reader, Schema

Found = list[tuple[str, int, bytes]]


def read(data: bytes, fields: Schema = schema.NODE, max_work: int = 1000) -> Found:
    return [
        (name, number, bytes(content))
        for name, number, content in Reader(max_work).fields(memoryview(data), fields, "a node")
    ]


@settings(deadline=None)
@given(
    st.lists(st.text(max_size=9), max_size=4),
    st.text(max_size=200),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9),
    st.floats(width=32, allow_nan=False),
)
def test_it_reads_what_protobuf_wrote(inputs: list[str], name: str, ints: list[int], real: float) -> None:
    attribute = AttributeProto(name=name, ints=ints, f=real)
    data = NodeProto(input=inputs, op_type=name, attribute=[attribute]).SerializeToString()
    found = read(data)
    assert [content.decode() for field, _, content in found if field == "input"] == inputs
    inner = next(content for field, _, content in found if field == "attribute")
    assert AttributeProto.FromString(inner) == attribute
    reader = Reader(1000)
    values = reader.fields(memoryview(inner), schema.ATTRIBUTE, "an attribute")
    assert [x for field, number, content in values if field == "ints" for x in reader.integers(number, content)] == ints


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_packed_numbers_are_the_same(numbers: list[int]) -> None:
    data = TensorProto(int64_data=numbers).SerializeToString()  # packed, by its declaration
    reader = Reader(1000)
    ((name, number, content),) = reader.fields(memoryview(data), schema.TENSOR, "a tensor")
    assert (name, number) == ("int64_data", -1)
    assert list(reader.integers(number, content)) == numbers


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    try:
        read(data)
    except Malformed:
        return
    NodeProto.FromString(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x22", "a number does not end"),
        (b"\x22\x05abc", "ends in the middle of the field op_type"),
        (b"\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "ends in the middle of the field op_type"),
        (b"\xff" * 11, "a number does not end"),
        (b"\x22\x01a\x22\x01b", "has the field op_type twice"),
        (b"\xf8\x07\x01", "has the unknown field 127"),
        (b"\x02\x00", "has the unknown field 0"),
        (b"\x20\x01", "has the field op_type in wire type 0"),
        (b"\x23\x24", "has the field op_type in wire type 3"),
        (b"\xa2\x80\x80\x80\x80\x01\x01a", "a number does not end"),  # protobuf reads 32 bits of it: op_type
        (b"\x22\x01\xff", "a string in the field op_type that is not UTF-8"),
        (b"\x0a\x00" * 2000, "more parts than any real network"),
    ],
)
def test_what_no_writer_writes_is_malformed(data: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        read(data)


def test_packed_numbers_are_work_too() -> None:
    reader = Reader(100)
    with pytest.raises(Malformed, match="more parts"):
        list(reader.integers(-1, memoryview(bytes(101))))
