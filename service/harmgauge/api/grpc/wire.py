"""The wire format of protobuf, read field by field before protobuf itself sees a message.

Protobuf creates an object for every field: 16 MB of empty ones become 800 MB, and take seconds. Here each field takes
one step, the steps are counted, and a ModelInferRequest is split into its numbers, which are not copied, and the rest:

message = envelope (at most 64 KB, for protobuf to parse) + raw_input_contents + the numbers in 'contents'
"""

from __future__ import annotations

from typing import NamedTuple

from harmgauge.errors import Unreadable

MOST_FIELDS = 1000
"""Limit on fields per message besides strings: a client sends a dozen. This many take about 0.5 ms."""

MOST_ENVELOPE_BYTES = 64 * 2**10
"""Limit on everything but the inputs' numbers: names, parameters and unknown fields."""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""Wire types: the lower three bits of a field's tag. 3 and 4 are groups, which the protocol does not use."""

INPUTS, RAW_INPUT = 5 << 3 | LENGTH, 7 << 3 | LENGTH
CONTENTS = 5 << 3 | LENGTH
STRING = 8 << 3 | LENGTH
"""One string in 'contents': strings cannot be packed."""

UNREAD_STRINGS = 0
"""Stands for a tag in a Chunk of all fields of a 'contents' that begins with a string. They are read, and counted, when
the shape of their input is known.
"""

Field = tuple[int, int, int, int]
"""Tag, start, start of the value, end."""

Chunk = tuple[int, memoryview]
"""A field of 'contents': its tag, and the bytes of one number or of a list of numbers. See also UNREAD_STRINGS."""


class Parts(NamedTuple):
    """The parts of a ModelInferRequest. `contents` are those of all its inputs together, None if there are none, and
    `of_inputs` those of each. With `raw`, they stay in the envelope, because a message must not have both.
    """

    envelope: bytes
    raw: list[memoryview]
    contents: list[Chunk] | None
    of_inputs: list[list[Chunk]]


_REQUEST = "inference.ModelInferRequest"


def malformed(name: str = _REQUEST) -> Unreadable:
    return Unreadable(f"The message is not a valid {name}.")


def fields(data: bytes, begin: int, end: int, most: int = MOST_FIELDS, name: str = _REQUEST) -> list[Field]:
    """The fields of the message `data[begin:end]`, with unparsed values. Raises Unreadable, naming the message."""
    found: list[Field] = []
    at = begin
    while at < end:
        if len(found) == most:
            raise Unreadable(
                f"The message has more than {MOST_FIELDS} fields; pack numbers, and send other fields once."
            )
        start = at
        tag = data[at]
        at += 1
        if not 7 < tag < 128:
            tag, at = _tag(data, start, end, name)
        kind = tag & 7
        value = at
        if kind == LENGTH:
            if at == end:
                raise malformed(name)
            size = data[at]
            value = at + 1
            if size > 127:
                size, value = varint(data, at, end, 5, name)
            at = value + size
        elif kind == VARINT:
            _, at = varint(data, at, end, 10, name)
        elif kind == FIXED32:
            at += 4
        elif kind == FIXED64:
            at += 8
        elif kind in (3, 4):
            raise Unreadable("The message has groups, which the protocol does not use.")
        else:
            raise malformed(name)
        if at > end:
            raise malformed(name)
        found.append((tag, start, value, at))
    return found


def _tag(data: bytes, at: int, end: int, name: str) -> tuple[int, int]:
    tag, at = varint(data, at, end, 5, name)
    if not 7 < tag < 2**32:
        raise malformed(name)
    return tag, at


def varint(data: bytes | memoryview, at: int, end: int, most_bytes: int, name: str = _REQUEST) -> tuple[int, int]:
    """Read a variable-length number; returns it and its end."""
    number = bits = 0
    end = min(end, at + most_bytes)
    while at < end:
        byte = data[at]
        at += 1
        if byte < 128:
            return number | byte << bits, at
        number |= (byte & 127) << bits
        bits += 7
    raise malformed(name)


def split(data: bytes) -> Parts:
    """Split a ModelInferRequest. Raises Unreadable if it has too many fields, too large ones, or groups."""
    view = memoryview(data)
    top = fields(data, 0, len(data))
    raw = [view[value:end] for tag, _, value, end in top if tag == RAW_INPUT]
    if raw:
        return Parts(_copied(data, top, RAW_INPUT), raw, None, [])
    kept: list[bytes] = []
    contents: list[Chunk] | None = None
    of_inputs: list[list[Chunk]] = []
    left = MOST_FIELDS - len(top)
    for field in top:
        tag, _, value, end = field
        tensor = fields(data, value, end, left) if tag == INPUTS else []
        left -= len(tensor)
        bulk = [inner for inner in tensor if inner[0] == CONTENTS]
        if tag == INPUTS:
            of_inputs.append([])
        if not bulk:
            kept.append(_copied(data, [field]))
            continue
        contents = contents or []
        for _, _, first, last in bulk:
            if first < last and data[first] == STRING:
                of_inputs[-1].append((UNREAD_STRINGS, view[first:last]))
                continue
            numbers = fields(data, first, last, left)
            left -= len(numbers)
            of_inputs[-1] += [(number, view[begin:over]) for number, _, begin, over in numbers]
        contents += of_inputs[-1]
        kept.append(block(INPUTS, _copied(data, tensor, CONTENTS)))
    _check_envelope(sum(map(len, kept)))
    return Parts(b"".join(kept), raw, contents, of_inputs)


def _copied(data: bytes, found: list[Field], cut: int = 0) -> bytes:
    """Copy all fields except those with the tag `cut`. Raises Unreadable before copying more than an envelope holds."""
    kept = [(start, end) for tag, start, _, end in found if tag != cut]
    _check_envelope(sum([end - start for start, end in kept]))
    return b"".join([data[start:end] for start, end in kept])


def _check_envelope(size_bytes: int) -> None:
    if size_bytes > MOST_ENVELOPE_BYTES:
        raise Unreadable(
            f"The message has {size_bytes} bytes besides the input's numbers; expected at most {MOST_ENVELOPE_BYTES}."
        )


def small(data: bytes, name: str) -> list[Field]:
    """The fields of a message without bulk data, called `name`. Raises Unreadable if it is too large to parse."""
    if len(data) > MOST_ENVELOPE_BYTES:
        raise Unreadable(f"The message has {len(data)} bytes; expected at most {MOST_ENVELOPE_BYTES} for {name}.")
    return fields(data, 0, len(data), name=name)


def block(tag: int, *payload: bytes) -> bytes:
    """Encode a field of wire type LENGTH whose tag fits into one byte."""
    size = sum(map(len, payload))
    if size < 128:
        return b"".join((bytes((tag, size)), *payload))
    head = bytearray((tag,))
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    head.append(size)
    return b"".join((head, *payload))
