"""Reads structs in Thrift's compact protocol, which Parquet's footer and page headers use.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import TypeAlias

_MAX_DEPTH = 16
_MAX_FIELDS = 64
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)

Value: TypeAlias = int | bytes | list["Value"] | dict[int, "Value"] | None
"""A whole number, a string, a list, or a struct by field number; None for other types."""

Struct: TypeAlias = dict[int, Value]


class Malformed(ValueError):
    """The bytes are not what the format allows."""


def read_struct(data: memoryview, at: int, end: int, depth: int = 0) -> tuple[Struct, int]:
    """Read the struct at `data[at:end]`; returns it and its end. Raises Malformed."""
    if depth > _MAX_DEPTH:
        raise Malformed("it is nested too deep")
    found: Struct = {}
    number = 0
    while True:
        head, at = _byte(data, at, end)
        kind = head & 15
        if kind == _STOP:
            return found, at
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(data, at, end)
        if number in found or len(found) == _MAX_FIELDS:
            raise Malformed("a struct has a field twice, or too many fields")
        found[number], at = _value(data, at, end, kind, depth)


def _value(data: memoryview, at: int, end: int, kind: int, depth: int) -> tuple[Value, int]:
    if kind in (_TRUE, _FALSE):
        return None, at
    if kind in (_I16, _I32, _I64):
        return _zigzag(data, at, end)
    if kind == _STRUCT:
        return read_struct(data, at, end, depth + 1)
    if kind in (_LIST, _SET):
        return _list(data, at, end, depth)
    if kind == _BINARY:
        size, at = _varint(data, at, end)
        if size > end - at:
            raise Malformed("it is cut off")
        return bytes(data[at : at + size]), at + size
    if kind not in (_BYTE, _DOUBLE):
        raise Malformed("a field has an unknown type")
    size = 1 if kind == _BYTE else 8
    if size > end - at:
        raise Malformed("it is cut off")
    return None, at + size


def _list(data: memoryview, at: int, end: int, depth: int) -> tuple[list[Value], int]:
    head, at = _byte(data, at, end)
    size, kind = head >> 4, head & 15
    if size == 15:
        size, at = _varint(data, at, end)
    if size > end - at:  # every element takes a byte at least
        raise Malformed("a list is longer than the file")
    values: list[Value] = []
    for _ in range(size):
        if kind in (_TRUE, _FALSE):
            value: Value = None
            at += 1
        else:
            value, at = _value(data, at, end, kind, depth + 1)
        values.append(value)
    return values, at


def _byte(data: memoryview, at: int, end: int) -> tuple[int, int]:
    if at >= end:
        raise Malformed("it is cut off")
    return data[at], at + 1


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    number = bits = 0
    while bits < 70:
        byte, at = _byte(data, at, end)
        number |= (byte & 127) << bits
        if byte < 128:
            return number, at
        bits += 7
    raise Malformed("a number is too long")


def _zigzag(data: memoryview, at: int, end: int) -> tuple[int, int]:
    number, at = _varint(data, at, end)
    return number >> 1 ^ -(number & 1), at
