"""Measures a Parquet file before it is decoded: what its pages take uncompressed, and how many values they have.

Arrow decodes what the headers of pages announce: 1 KB may announce gigabytes. So each header is read here first, and
the sum is known before anything is decompressed. Headers are structs in Thrift's compact protocol
(https://github.com/apache/parquet-format, `PageHeader`).
"""

from __future__ import annotations

from typing import NamedTuple

MAX_PAGES = 10_000
"""Writers make pages of a megabyte; each header takes 10 us here."""

_MAX_DEPTH = 8
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)

_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = 0, 2, 3
_SECTIONS = {_DATA_PAGE: (5, 2), _DICTIONARY_PAGE: (7, 2), _DATA_PAGE_V2: (8, 4)}
"""The field of `PageHeader` that describes each type of page, and the field with its encoding in there; the first field
is the number of values.
"""

_DELTA_BYTE_ARRAY = 7
"""Strings that share their beginnings: a page of 1 KB may hold gigabytes of them."""


class Malformed(ValueError):
    """The bytes are not what the format allows."""


class Pages(NamedTuple):
    """`values` in data pages, nulls included; `bytes` of all pages, uncompressed."""

    values: int
    bytes: int


def measure(data: memoryview, begin: int, end: int) -> Pages:
    """Measure the pages of a column chunk, `data[begin:end]`. Raises Malformed."""
    if not 0 <= begin <= end <= len(data):
        raise Malformed("a column chunk lies outside the file")
    at = begin
    count = values = size_bytes = 0
    while at < end:
        header, at = _struct(data, at, end, 0)
        kind, unpacked, packed = (header.get(field) for field in (1, 2, 3))
        if not isinstance(unpacked, int) or not isinstance(packed, int) or unpacked < 0 or not 0 <= packed <= end - at:
            raise Malformed("a page has an invalid size")
        if isinstance(kind, int) and kind in _SECTIONS:
            field, encoding = _SECTIONS[kind]
            section = header.get(field)
            own = section.get(1) if isinstance(section, dict) else None
            if not isinstance(section, dict) or not isinstance(own, int) or own < 0:
                raise Malformed("a page has an invalid number of values")
            if section.get(encoding) == _DELTA_BYTE_ARRAY:
                raise Malformed("the encoding DELTA_BYTE_ARRAY is not supported; write it with the default encodings")
            values += own if kind != _DICTIONARY_PAGE else 0
        size_bytes += unpacked
        at += packed
        count += 1
        if count > MAX_PAGES:
            raise Malformed(f"a column has more than {MAX_PAGES} pages")
    return Pages(values, size_bytes)


def _struct(data: memoryview, at: int, end: int, depth: int) -> tuple[dict[int, object], int]:
    """The fields of a struct by number, and where it ends; only whole numbers and structs have a value."""
    if depth > _MAX_DEPTH:
        raise Malformed("a header is nested too deep")
    found: dict[int, object] = {}
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
        value, at = _value(data, at, end, kind, depth)
        found[number] = value
        if len(found) > 64:
            raise Malformed("a header has too many fields")


def _value(data: memoryview, at: int, end: int, kind: int, depth: int) -> tuple[object, int]:
    if kind in (_TRUE, _FALSE):
        return None, at
    if kind in (_I16, _I32, _I64):
        return _zigzag(data, at, end)
    if kind == _STRUCT:
        return _struct(data, at, end, depth + 1)
    if kind == _BINARY:
        size, at = _varint(data, at, end)
    elif kind in (_BYTE, _DOUBLE):
        size = 1 if kind == _BYTE else 8
    else:  # lists, sets and maps, which no page header has
        raise Malformed("a header has a field of an unknown type")
    if size > end - at:
        raise Malformed("a header is cut off")
    return None, at + size


def _byte(data: memoryview, at: int, end: int) -> tuple[int, int]:
    if at >= end:
        raise Malformed("a header is cut off")
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
