"""Measures a Parquet file before Arrow reads it: what its pages take uncompressed, and how many values they have.

Arrow decodes what the headers of pages announce: 1 KB may announce gigabytes. So each header is read here first, and
the sum is known before anything is decompressed. Arrow's own description of a file is not used, because reading it
ends the process for some malformed files. (https://github.com/apache/parquet-format, `parquet.thrift`)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from harmgauge.api.body.named.thrift import Malformed, Struct, Value, read_struct

MAX_FOOTER_BYTES = 2**18
"""Limit for the description of the file at its end: 500 columns with statistics take 100 KB. Read in 0.1 s."""

MAX_PAGES = 10_000
"""Limit for all pages. Writers make pages of a megabyte; each header takes 20 us here."""

_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = 0, 2, 3
_SECTIONS = {_DATA_PAGE: (5, 2), _DICTIONARY_PAGE: (7, 2), _DATA_PAGE_V2: (8, 4)}
"""The field of `PageHeader` that describes each type of page, and the field with its encoding in there; the first field
is the number of values.
"""

_BYTE_ARRAYS = (6, 7)
"""Types of strings, of free and of fixed length."""

_MAX_FIXED_BYTES = 32
"""Limit for values of fixed length: those of the longest decimal. Each takes them in memory, and a null does too."""

_DELTA_BYTE_ARRAY = 7
"""Strings that share their beginnings: a page of 1 KB may hold gigabytes of them."""

_STRING_BYTES = 80
"""Memory of a short string as an object, with its reference."""


class Measured(NamedTuple):
    """Rows of the file, the most values in a column, nulls included, and the memory that decoding takes."""

    rows: int
    values: int
    memory_bytes: int


def measure(body: bytes | bytearray) -> Measured:
    """Measure a file. Raises Malformed."""
    if len(body) < 12 or body[-4:] != b"PAR1" or body[:4] != b"PAR1":
        raise Malformed("it does not begin and end like one")
    footer_bytes = int.from_bytes(body[-8:-4], "little")
    if footer_bytes > min(MAX_FOOTER_BYTES, len(body) - 12):
        raise Malformed(f"its footer has {footer_bytes} bytes; expected at most {MAX_FOOTER_BYTES}")
    view = memoryview(body)
    begin = len(body) - 8 - footer_bytes
    footer, _ = read_struct(view, begin, len(body) - 8)
    rows = _whole(footer.get(3), "number of rows")
    groups = _structs(footer.get(4))
    if rows != sum(_whole(group.get(3), "number of rows") for group in groups):
        raise Malformed("its number of rows is not the sum of those of its groups")
    lengths = [_whole(each[2], "length") for each in _structs(footer.get(2)) if each.get(2) is not None]
    if max(lengths, default=0) > _MAX_FIXED_BYTES:
        raise Malformed(f"a column has values of more than {_MAX_FIXED_BYTES} bytes of fixed length")
    if not rows:  # its columns have no pages
        return Measured(0, 0, 0)
    values = size_bytes = 0
    pages_left = MAX_PAGES
    for column in _columns(groups):
        own_values = 0
        of_value = _STRING_BYTES if column.get(1) in _BYTE_ARRAYS else 8
        first, last = _span(column)
        for page in _pages(view, first, last, begin):
            pages_left -= 1
            if pages_left < 0:
                raise Malformed(f"it has more than {MAX_PAGES} pages")
            own_values += page[0]
            size_bytes += page[1]
        if own_values != _whole(column.get(5), "number of values"):  # for more, Arrow would read on
            raise Malformed("a column does not have as many values as it declares")
        values = max(values, own_values)
        size_bytes += own_values * of_value
    return Measured(rows, values, size_bytes)


def _columns(groups: list[Struct]) -> Iterator[Struct]:
    """The description of each column in each of the groups of rows."""
    for group in groups:
        for chunk in _structs(group.get(1)):
            column = chunk.get(3)
            if not isinstance(column, dict) or chunk.get(1) is not None:  # a path to another file
                raise Malformed("a column is not in the file")
            yield column


def _span(column: Struct) -> tuple[int, int]:
    begin, size = _whole(column.get(9), "offset"), _whole(column.get(7), "size")
    dictionary = column.get(11)
    if isinstance(dictionary, int) and 4 <= dictionary < begin:
        begin = dictionary
    return begin, begin + size


def _pages(data: memoryview, at: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """Values and uncompressed bytes of each page in `data[at:end]`."""
    if not 4 <= at <= end <= most:
        raise Malformed("a column lies outside the file")
    while at < end:
        header, at = read_struct(data, at, end)
        kind, unpacked, packed = header.get(1), _whole(header.get(2), "size"), _whole(header.get(3), "size")
        if packed > end - at:
            raise Malformed("a page lies outside its column")
        values = 0
        if isinstance(kind, int) and kind in _SECTIONS:
            field, encoding = _SECTIONS[kind]
            section = header.get(field)
            if not isinstance(section, dict):
                raise Malformed("a page has no description")
            if section.get(encoding) == _DELTA_BYTE_ARRAY:
                raise Malformed("the encoding DELTA_BYTE_ARRAY is not supported; write it with the default encodings")
            values = _whole(section.get(1), "number of values")
            if kind == _DICTIONARY_PAGE:
                if values > unpacked:  # each takes a byte at least
                    raise Malformed("a dictionary has more values than its page has bytes")
                values = 0
        yield values, unpacked
        at += packed


def _structs(value: Value) -> list[Struct]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Malformed("a list is missing")
    return [each for each in value if isinstance(each, dict)]


def _whole(value: Value, name: str) -> int:
    if not isinstance(value, int) or value < 0:
        raise Malformed(f"a {name} is missing or negative")
    return value
