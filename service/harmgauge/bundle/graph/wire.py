"""Protobuf's wire format, read field by field against a schema: linear in the bytes, nothing kept, nothing guessed.

What a schema does not know, what comes twice where it may come once and what is of another wire type is refused, not
skipped: protobuf's own parsers merge or ignore it, and would see another message than we do. Nothing passes that they
refuse: texts are UTF-8, packed numbers are whole. Source: the encoding as protobuf documents it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_MASK64 = 2**64 - 1
_NOTHING = memoryview(b"")

_TAG_BYTES = 5
_NUMBER_BYTES = 10
_ENDLESS = re.compile(rb"[\x80-\xff]{10}")

Kind = Literal["int", "bytes", "text", "float", "double"]
_WIRE_TYPES: dict[Kind, int] = {
    "int": _VARINT, "bytes": _LENGTH, "text": _LENGTH, "float": _FIXED32, "double": _FIXED64
}  # fmt: skip


class Field(NamedTuple):
    """`bytes` stands for messages as well. Repeated numbers may come one by one or packed."""

    name: str
    kind: Kind
    repeated: bool = False


Schema = Mapping[int, Field]


class Malformed(ValueError):
    """Not what any writer of such messages writes; the text says where."""


class Reader:
    """Reads any number of messages, until `max_work` is done: 1 for a field or a packed number, 10 for a message."""

    def __init__(self, max_work: int) -> None:
        self._left = max_work

    def fields(self, message: memoryview, schema: Schema, what: str) -> Iterator[tuple[str, int, memoryview]]:
        """Name, number and bytes of each field. The number is -1 where there are bytes, else from 0 to 2^64 - 1.

        Raises Malformed, which calls the message `what`.
        """
        self._work(10)
        at, end, seen = 0, len(message), set[int]()
        while at < end:
            self._work(1)
            tag, at = _varint(message, at, _TAG_BYTES)
            wire_type, field = tag & 7, schema.get(tag >> 3)
            if field is None or tag >= 2**32:
                raise Malformed(f"{what} has a field {tag >> 3} that is unknown here")
            if not field.repeated:
                if tag in seen:
                    raise Malformed(f"{what} has its field {field.name} twice")
                seen.add(tag)
            if wire_type != _WIRE_TYPES[field.kind] and not (field.repeated and wire_type == _LENGTH):
                raise Malformed(f"{what} has its field {field.name} in wire type {wire_type}")
            if wire_type == _VARINT:
                number, at = _varint(message, at)
                yield field.name, number, _NOTHING
                continue
            size = _SIZES.get(wire_type)
            if size is None:
                size, at = _varint(message, at)
            if size > end - at:
                raise Malformed(f"{what} ends in the middle of its field {field.name}")
            content = message[at : at + size]
            if wire_type == _LENGTH and field.kind != "bytes":
                _check_content(content, field, what)
            yield field.name, -1, content
            at += size

    def integers(self, number: int, packed: memoryview) -> Iterator[int]:
        """The signed numbers of a repeated field `int`, as `fields` gives it. Raises Malformed."""
        if number >= 0:
            yield signed(number)
        at = 0
        while at < len(packed):
            self._work(1)
            number, at = _varint(packed, at)
            yield signed(number)

    def skim(self, message: memoryview, schema: Schema, what: str) -> None:
        """Only whether it is well formed; raises Malformed."""
        for _ in self.fields(message, schema, what):
            pass

    def _work(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise Malformed("it has more parts than any network")


def _check_content(content: memoryview, field: Field, what: str) -> None:
    match field.kind:
        case "text":
            try:
                str(content, "utf-8")
            except UnicodeDecodeError:
                raise Malformed(f"{what} has a text in its field {field.name} that is not UTF-8") from None
        case "int":
            if len(content) and (content[-1] >= 0x80 or _ENDLESS.search(content)):
                raise Malformed("a number without an end")
        case "float" | "double":
            if len(content) % _SIZES[_WIRE_TYPES[field.kind]]:
                raise Malformed(f"{what} ends in the middle of a number of its field {field.name}")


def _varint(data: memoryview, at: int, most_bytes: int = _NUMBER_BYTES) -> tuple[int, int]:
    """The number that begins at `at`, and where the next thing begins."""
    value = shift = 0
    while True:
        if at >= len(data) or shift >= 7 * most_bytes:
            raise Malformed("a number without an end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK64, at
        shift += 7


def signed(value: int) -> int:
    """What an unsigned number of 64 bits stands for as an int64."""
    return value - 2**64 if value >= 2**63 else value
