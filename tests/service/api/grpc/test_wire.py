"""Messages split before protobuf parses them: with the same result, and at bounded cost."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from harmgauge.api.grpc import messages, numbers
from harmgauge.api.grpc.protocol import methods
from harmgauge.api.grpc.wire import MOST_FIELDS, block, fields, small, split
from harmgauge.errors import Unreadable

REQUEST = methods()["ModelInfer"][0]
MEGABYTES = 8 * 2**20

NAME, PARAMETERS, INPUTS, OUTPUTS, RAW = (number << 3 | 2 for number in (1, 4, 5, 6, 7))
TENSOR_SHAPE, TENSOR_PARAMETERS, TENSOR_CONTENTS = 0x1A, 0x22, 0x2A

HOSTILE = {
    "inputs": bytes((INPUTS, 0)) * MEGABYTES,
    "outputs": bytes((OUTPUTS, 0)) * MEGABYTES,
    "parameters": bytes((PARAMETERS, 0)) * MEGABYTES,
    "raw inputs": bytes((RAW, 0)) * MEGABYTES,
    "unknown fields": b"\x7a\0" * MEGABYTES,
    "unknown numbers": b"\x78\0" * MEGABYTES,
    "sizes": block(INPUTS, block(TENSOR_SHAPE, b"\1" * MEGABYTES)),
    "sizes, one by one": block(INPUTS, b"\x18\1" * MEGABYTES),
    "an input's parameters": block(INPUTS, bytes((TENSOR_PARAMETERS, 0)) * MEGABYTES),
    "numbers one by one": block(INPUTS, block(TENSOR_CONTENTS, b"\x20\1" * MEGABYTES)),
    "many inputs with a few": block(INPUTS, block(TENSOR_CONTENTS, b"\x20\1" * 10)) * 1000,
    "a name": block(NAME, bytes(MEGABYTES)),
    "groups": b"\x7b" * 90 + b"\x7c" * 90,
    "groups in an input": block(INPUTS, b"\x7b" * 90 + b"\x7c" * 90),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_would_become_many_objects_is_refused(name: str) -> None:
    with pytest.raises(Unreadable, match="^The message has "):
        split(HOSTILE[name])


@given(st.binary(max_size=400))
def test_any_bytes_are_read_as_protobuf_reads_them_or_refused(data: bytes) -> None:
    try:
        message = messages.envelope(split(data))
    except Unreadable as refused:
        if not refused.detail.startswith("The message has "):
            with pytest.raises(DecodeError):
                REQUEST.FromString(data)
        return
    try:
        expected = REQUEST.FromString(data)
    except DecodeError:  # an error in numbers, which are read only when needed
        return
    del expected.raw_input_contents[:]
    for tensor in [*expected.inputs, *message.inputs]:
        tensor.ClearField("contents")
    assert message.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)


PIECES = st.lists(st.integers(0, 2**32 - 1), max_size=30)


@given(st.lists(st.tuples(st.booleans(), PIECES), max_size=4))
def test_numbers_in_any_number_of_pieces(pieces: list[tuple[bool, list[int]]]) -> None:
    """Packed and one by one, as an encoder may write them; protobuf joins them."""
    kind = numbers.KINDS["uint_contents"]
    contents = b""
    for is_packed, values in pieces:
        one = [numbers.pack(np.array([value], np.uint32)) for value in values]
        tag = bytes((kind.number << 3,))
        contents += block(kind.number << 3 | 2, *one) if is_packed else b"".join(tag + number for number in one)
    data = block(INPUTS, block(TENSOR_CONTENTS, contents))
    expected = list(REQUEST.FromString(data).inputs[0].contents.uint_contents)
    chunks = split(data).contents
    assert chunks is not None
    assert numbers.given(chunks) == (["uint_contents"] if expected else [])
    if expected:
        found = numbers.packed(chunks, "uint_contents")
        assert numbers.unpack(found, "uint_contents", numbers.count(found, "uint_contents")).tolist() == expected


def test_strings_are_read_up_to_the_size_of_their_tensor() -> None:
    given = [b"", b"ab", bytes(300)] * 2000
    tensor = {"contents": {"bytes_contents": given}}
    (chunks,) = split(REQUEST(inputs=[tensor]).SerializeToString()).of_inputs
    assert numbers.given(chunks) == ["bytes_contents"]
    assert numbers.strings(chunks, len(given)) == given
    assert numbers.strings(chunks, 10) == given[:11]


def test_strings_behind_another_field_are_read_too() -> None:
    contents = b"\x08\1" + b"\x42\2ab"  # a number in bool_contents comes first
    (chunks,) = split(block(INPUTS, block(TENSOR_CONTENTS, contents))).of_inputs
    assert numbers.strings(chunks, 9) == [b"ab"]


@pytest.mark.parametrize("contents", [b"\x42\3ab", b"\x42", b"\x42\1a\x08\1", b"\x42" + b"\xff" * 6])
def test_strings_that_are_cut_off_or_mixed_with_numbers_are_refused(contents: bytes) -> None:
    (chunks,) = split(block(INPUTS, block(TENSOR_CONTENTS, contents))).of_inputs
    with pytest.raises(Unreadable, match="not a valid inference.ModelInferRequest"):
        numbers.strings(chunks, 9)


def test_bulk_is_not_copied() -> None:
    data = REQUEST(model_name="toy", raw_input_contents=[bytes(1000)]).SerializeToString()
    parts = split(data)
    assert [raw.obj is data for raw in parts.raw] == [True]
    assert len(parts.envelope) < 10


@pytest.mark.parametrize(
    "data",
    [b"\x0a", b"\x0a\x05ab", b"\x80", b"\xff" * 11, b"\0\0", b"\x0d\0\0", b"\x09" + bytes(7), b"\x0e\0", b"\x08\x80"],
    ids=bytes.hex,
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match=r"^The message is not a valid a\.Message\.$"):
        small(data, "a.Message")
    with pytest.raises(DecodeError):
        REQUEST.FromString(data)


def test_a_small_message_is_small() -> None:
    assert len(small(b"\x0a\0" * MOST_FIELDS, "a.Message")) == MOST_FIELDS
    with pytest.raises(Unreadable, match="more than 1000 fields"):
        small(b"\x0a\0" * (MOST_FIELDS + 1), "a.Message")
    with pytest.raises(Unreadable, match="has 65539 bytes"):
        small(block(NAME, bytes(65_535)), "a.Message")
    assert fields(b"", 0, 0) == []
