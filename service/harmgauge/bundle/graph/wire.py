"""Protobuf's wire format, read field by field against a schema: linear in the bytes, nothing kept, nothing guessed.

Unknown fields, repetitions of singular fields, and wrong wire types are refused, not skipped: protobuf's own parsers
merge or ignore them, and would then see a different message. Anything that they refuse is refused here too: text must
be UTF-8, packed numbers must be complete. Source: protobuf's documentation of the encoding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_MASK64 = 2**64 - 1
_NOTHING = memoryview(b"")

_TAG_BYTES = 5
_NUMBER_BYTES = 10
_ENDLESS = re.compile(rb"[\x80-\xff]{10}")

_RUN_NUMBERS = 65_536
"""Maximum batch of numbers that are stored one by one: a forest has millions of them."""

_BYTES_PER_WORK = 32
"""Bytes of packed numbers that count as the work of one field."""

Kind = Literal["int", "bytes", "text", "float", "double"]
_WIRE_TYPES: dict[Kind, int] = {
    "int": _VARINT, "bytes": _LENGTH, "text": _LENGTH, "float": _FIXED32, "double": _FIXED64
}  # fmt: skip


class Field(NamedTuple):
    """A field of a message. The kind `bytes` also covers messages. Repeated numbers may be packed or not."""

    name: str
    kind: Kind
    repeated: bool = False


Schema = Mapping[int, Field]


class Malformed(ValueError):
    """A message that no valid writer produces; the text names the place."""


class Reader:
    """Reads any number of messages until `max_work` is used up: 1 for a field or a packed number, 10 for a message."""

    def __init__(self, max_work: int) -> None:
        self._left = max_work

    def fields(self, message: memoryview, schema: Schema, what: str) -> Iterator[tuple[str, int, memoryview]]:
        """Name, number and bytes of each field. The number is -1 for a field with bytes, otherwise from 0 to 2^64 - 1.

        Raises Malformed, which calls the message `what`.
        """
        self._work(10)
        at, end, seen = 0, len(message), set[int]()
        while at < end:
            self._work(1)
            begin = at
            tag, at = _varint(message, at, _TAG_BYTES)
            wire_type, field = tag & 7, schema.get(tag >> 3)
            if field is None or tag >= 2**32:
                raise Malformed(f"{what} has the unknown field {tag >> 3}")
            if not field.repeated:
                if tag in seen:
                    raise Malformed(f"{what} has the field {field.name} twice")
                seen.add(tag)
            if wire_type != _WIRE_TYPES[field.kind] and not (field.repeated and wire_type == _LENGTH):
                raise Malformed(f"{what} has the field {field.name} in wire type {wire_type}")
            if field.repeated and wire_type != _LENGTH:
                run = self._run(message, begin, at)
                if run is not None:
                    content, at = run
                    yield field.name, -1, content
                    continue
            if wire_type == _VARINT:
                number, at = _varint(message, at)
                yield field.name, number, _NOTHING
                continue
            size = _SIZES.get(wire_type)
            if size is None:
                size, at = _varint(message, at)
            if size > end - at:
                raise Malformed(f"{what} ends in the middle of the field {field.name}")
            content = message[at : at + size]
            if wire_type == _LENGTH and field.kind != "bytes":
                _check_content(content, field, what)
            yield field.name, -1, content
            at += size

    def integers(self, number: int, packed: memoryview) -> Iterator[int]:
        """The signed numbers of a repeated field `int`, from the values of `fields`. Raises Malformed."""
        if number >= 0:
            yield signed(number)
        at = 0
        while at < len(packed):
            self._work(1)
            number, at = _varint(packed, at)
            yield signed(number)

    def many(self, number: int, packed: memoryview) -> npt.NDArray[np.int64]:
        """The same as an array, in no more memory than the bytes themselves. Raises Malformed."""
        if number >= 0:
            return np.array([signed(number)], np.int64)
        self._work(len(packed) // _BYTES_PER_WORK)
        data = np.frombuffer(packed, np.uint8)
        ends = np.flatnonzero(data < 0x80)
        if not len(ends):
            return np.empty(0, np.int64)
        begins = np.concatenate([[0], ends[:-1] + 1])
        sizes = ends - begins + 1
        if sizes.max() > _NUMBER_BYTES:
            raise Malformed("a number does not end")
        places = np.arange(int(ends[-1]) + 1) - np.repeat(begins, sizes)
        parts = (data[: ends[-1] + 1] & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
        return np.bitwise_or.reduceat(parts, begins).view(np.int64)

    def _run(self, message: memoryview, begin: int, at: int) -> tuple[memoryview, int] | None:
        """Packs numbers that are stored one by one under the same tag `message[begin:at]`; returns them and their end.

        None if there is only one.
        """
        tag = bytes(message[begin:at])
        found = _run_of(tag).match(message, begin)
        if found is None:
            return None
        run = found.group()
        self._work(len(run) // _BYTES_PER_WORK)
        size = _SIZES.get(tag[0] & 7)
        if size is None:
            packed = b"".join(_number_of(tag).findall(run))
        else:
            packed = np.frombuffer(run, np.uint8).reshape(-1, len(tag) + size)[:, len(tag) :].tobytes()
        return memoryview(packed), found.end()

    def skim(self, message: memoryview, schema: Schema, what: str) -> None:
        """Check only that the message is well formed; raises Malformed."""
        for _ in self.fields(message, schema, what):
            pass

    def _work(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise Malformed("it has more parts than any real network")


@lru_cache(maxsize=64)
def _run_of(tag: bytes) -> re.Pattern[bytes]:
    """Matches two or more numbers under this tag; possessive, so that no backtracking state is kept."""
    size = _SIZES.get(tag[0] & 7)
    number = rb"[\x80-\xff]{0,9}+[\x00-\x7f]" if size is None else rb"[\x00-\xff]{%d}+" % size
    return re.compile(rb"(?:%s%s){2,%d}+" % (re.escape(tag), number, _RUN_NUMBERS))


@lru_cache(maxsize=64)
def _number_of(tag: bytes) -> re.Pattern[bytes]:
    return re.compile(re.escape(tag) + rb"([\x80-\xff]{0,9}+[\x00-\x7f])")


def _check_content(content: memoryview, field: Field, what: str) -> None:
    match field.kind:
        case "text":
            try:
                str(content, "utf-8")
            except UnicodeDecodeError:
                raise Malformed(f"{what} has a string in the field {field.name} that is not UTF-8") from None
        case "int":
            if len(content) and (content[-1] >= 0x80 or _ENDLESS.search(content)):
                raise Malformed("a number does not end")
        case "float" | "double":
            if len(content) % _SIZES[_WIRE_TYPES[field.kind]]:
                raise Malformed(f"{what} ends in the middle of a number in the field {field.name}")


def _varint(data: memoryview, at: int, most_bytes: int = _NUMBER_BYTES) -> tuple[int, int]:
    """Read the number that begins at `at`; returns it and the position after it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift >= 7 * most_bytes:
            raise Malformed("a number does not end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _MASK64, at
        shift += 7


def signed(value: int) -> int:
    """Reinterpret an unsigned 64-bit number as an int64."""
    return value - 2**64 if value >= 2**63 else value
