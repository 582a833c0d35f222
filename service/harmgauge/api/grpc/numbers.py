"""Converts the packed numbers of a tensor's 'contents' to arrays and back, with NumPy, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harmgauge.api.grpc.wire import FIXED32, FIXED64, LENGTH, STRING, UNREAD_STRINGS, VARINT, Chunk, malformed, varint

Bytes = npt.NDArray[np.uint8]

PIECE_BYTES = 256 * 2**10
"""Bytes read at once: about 2 ms, with 8 bytes of memory or more for each."""

LONGEST_VARINT_BYTES = 10


class Kind(NamedTuple):
    """A field of InferTensorContents that holds numbers."""

    number: int
    dtype: type[np.generic]
    wire: int


KINDS = {
    "bool_contents": Kind(1, np.bool_, VARINT),
    "int_contents": Kind(2, np.int32, VARINT),
    "int64_contents": Kind(3, np.int64, VARINT),
    "uint_contents": Kind(4, np.uint32, VARINT),
    "uint64_contents": Kind(5, np.uint64, VARINT),
    "fp32_contents": Kind(6, np.float32, FIXED32),
    "fp64_contents": Kind(7, np.float64, FIXED64),
}


def given(chunks: Sequence[Chunk]) -> list[str]:
    """The names of the fields that are not empty, in the order of their field numbers."""
    tags = {STRING if tag == UNREAD_STRINGS else tag for tag, data in chunks if len(data) or tag == STRING}
    names = [name for name, kind in KINDS.items() if {kind.number << 3 | kind.wire, kind.number << 3 | LENGTH} & tags]
    return [*names, "bytes_contents"] if STRING in tags else names


def strings(chunks: Sequence[Chunk], most: int) -> list[memoryview]:
    """The byte strings of a field of them; reads at most one more than `most`. Raises Unreadable."""
    found: list[memoryview] = []
    for tag, data in chunks:
        if tag == STRING:
            found.append(data)
        elif tag == UNREAD_STRINGS:
            at = 0
            while at < len(data) and len(found) <= most:
                size, begin = varint(data, at + 1, len(data), 5)
                at, previous = begin + size, at
                if data[previous] != STRING or at > len(data):
                    raise malformed()
                found.append(data[begin:at])
    return found


def packed(chunks: Sequence[Chunk], name: str) -> Bytes:
    """All the bytes of a non-empty field. Raises Unreadable if they end within a number."""
    kind = KINDS[name]
    mine = [np.frombuffer(data, np.uint8) for tag, data in chunks if tag >> 3 == kind.number and len(data)]
    for data in mine:
        whole = data[-1] < 128 if kind.wire == VARINT else len(data) % np.dtype(kind.dtype).itemsize == 0
        if not whole:
            raise malformed()
    return mine[0] if len(mine) == 1 else np.concatenate(mine)


def count(data: Bytes, name: str) -> int:
    """Count the numbers in a field's bytes, without extra memory."""
    kind = KINDS[name]
    if kind.wire != VARINT:
        return len(data) // np.dtype(kind.dtype).itemsize
    return sum(int(np.count_nonzero(data[at : at + PIECE_BYTES] < 128)) for at in range(0, len(data), PIECE_BYTES))


def unpack(data: Bytes, name: str, numbers: int) -> npt.NDArray[Any]:
    """Convert a field's bytes, which hold `numbers` values, to an array; floats are not copied. Raises Unreadable."""
    kind = KINDS[name]
    if kind.wire != VARINT:
        return data.view(np.dtype(kind.dtype).newbyteorder("<"))
    array = np.empty(numbers, kind.dtype)
    at = 0
    for piece in _pieces(data):
        values = _varints(piece)
        # Like protobuf: a number that is too long keeps its lower bits, and a bool with any bit set is true.
        array[at : at + len(values)] = values != 0 if kind.dtype is np.bool_ else values.astype(kind.dtype)
        at += len(values)
    return array


def _pieces(data: Bytes) -> Iterator[Bytes]:
    """Split the bytes into pieces that end after a complete number."""
    at = 0
    while at < len(data):
        end = min(at + PIECE_BYTES, len(data))
        tail = data[max(at, end - LONGEST_VARINT_BYTES) : end]
        ends = np.flatnonzero(tail < 128)
        if not len(ends):
            raise malformed()
        end -= len(tail) - 1 - int(ends[-1])
        yield data[at:end]
        at = end


def _varints(piece: Bytes) -> npt.NDArray[np.uint64]:
    ends = np.flatnonzero(piece < 128)
    if len(ends) == len(piece):
        return piece.astype(np.uint64)
    starts = np.concatenate(([0], ends[:-1] + 1))
    longer = ends - starts
    if longer.max() >= LONGEST_VARINT_BYTES:
        raise malformed()
    values = (piece[starts] & 127).astype(np.uint64)
    for index in range(1, int(longer.max()) + 1):
        those = np.flatnonzero(longer >= index)
        bits = (piece[starts[those] + index] & 127).astype(np.uint64)
        values[those] |= bits << np.uint64(7 * index)
    return values


def pack(array: npt.NDArray[Any]) -> bytes:
    """Encode a C-contiguous little-endian array as the bytes of a packed field."""
    if array.dtype.kind in "fb":
        return array.tobytes()
    values = array.reshape(-1).astype(np.int64).view(np.uint64)
    if not (values > 127).any():
        return values.astype(np.uint8).tobytes()
    longer = np.sum([values >= np.uint64(1) << np.uint64(7 * index) for index in range(1, 10)], axis=0)
    starts = np.concatenate(([0], np.cumsum(longer + 1)[:-1]))
    data = np.empty(len(values) + int(longer.sum()), np.uint8)
    for index in range(int(longer.max()) + 1):
        those = np.flatnonzero(longer >= index)
        more = np.where(longer[those] > index, 128, 0).astype(np.uint8)
        data[starts[those] + index] = ((values[those] >> np.uint64(7 * index)) & np.uint64(127)).astype(np.uint8) | more
    return data.tobytes()
