"""Long lists of numbers in JSON, read several times faster than as nested lists, and piece by piece.

simdjson gives all numbers of a document as one buffer, but not how they were nested. The nesting is checked on the text
that remains without the numbers' own characters: it must be exactly the brackets and commas of n instances.

null stands for a missing value if the input may have such. Its n remains with the brackets and commas, and marks which
number it is. It is then read as " 0  ": the blanks keep it from merging with the number beside it, and since numbers
contain no other letters, a text that is not a list of numbers and nulls cannot become one.

Everything here holds the GIL while it works on a piece, so pieces are small; the first that does not fit ends the
reading.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from harmgauge.api.body.steps import Steps
from harmgauge.bundle.rows import Rows

simdjson: Any
try:
    simdjson = importlib.import_module("simdjson")
except ImportError:  # no wheel for this Python: orjson takes three times as long
    simdjson = None

PIECE_BYTES = 64 * 2**10
"""Bytes read in one step: 400 us. simdjson takes some 20 bytes for each that it reads at once."""

_KINDS: dict[str, tuple[str, type[np.generic]]] = {"u": ("u", np.uint64), "i": ("i", np.int64), "f": ("d", np.float64)}
"""simdjson's name for a kind of numbers, and their type in numpy."""

_OF_NUMBERS = b"0123456789+-.eE \t\r\n"
_NULL, _ZERO = b"null", b" 0  "
_OF_NUMBERS_AND_NULLS = _OF_NUMBERS + b"ul"

_NESTING = bytes.maketrans(b"[]", b"  ")


class _Piece(NamedTuple):
    """`body[begin:end]` from one comma to another, in a list `opened` deep at its start and `closed` at its end.

    `missing` (k,) are the positions of its null numbers, in order; None if there are none."""

    begin: int
    end: int
    opened: int
    closed: int
    numbers: int
    missing: npt.NDArray[np.uint32] | None


def read_numbers(
    body: bytes | bytearray, begin: int, end: int, shape: tuple[int, ...], kind: str, *, nulls: bool = False
) -> Steps[Rows | None]:
    """The list `body[begin:end]` of instances as numbers (n, *shape) in 64 bits; only their nesting is checked.

    A `shape` without axes is that of a flat list. `kind` is the numpy kind of the target dtype: whole numbers stay
    exact, and become floats only if some have a point or an exponent. With `nulls`, for floats, null is NaN. Returns
    None, without a reason, if it is not such a list.
    """
    pieces: list[_Piece] = []
    for piece in _pieces(body, begin + 1, end - 1, shape, nulls=nulls):
        if piece is None:
            return None
        pieces.append(piece)
        if kind != "f":
            kind = _kind(body, piece, kind)
        yield
    of_type, dtype = _KINDS[kind]
    if len(pieces) == 1:
        found = _numbers(bytes(body[begin:end]), of_type, dtype, pieces[0])
        return None if found is None else found.reshape(-1, *shape)
    numbers = np.empty(sum(piece.numbers for piece in pieces), dtype)
    done = 0
    for piece in pieces:
        text = b"".join((b"[" * piece.opened, body[piece.begin : piece.end], b"]" * piece.closed))
        found = _numbers(text, of_type, dtype, piece)
        if found is None:
            return None
        numbers[done : done + found.size] = found
        done += found.size
        yield
    return numbers.reshape(-1, *shape)


def _pieces(
    body: bytes | bytearray, begin: int, end: int, shape: tuple[int, ...], *, nulls: bool
) -> Iterator[_Piece | None]:
    """Pieces of the list, cut at commas; ends with None at the first nesting error.

    Between two numbers there is exactly one comma, however deep they are.
    """
    instance, pattern = _skeletons(shape)
    at, depth = 0, 1  # in the skeleton of one instance and the comma after it; in the body
    while True:
        cut = end if end - begin <= PIECE_BYTES else body.rfind(b",", begin, begin + PIECE_BYTES)
        if cut < begin:  # longer than any number
            break
        text, missing = body[begin:cut], None
        if nulls and b"n" in text:
            marked = text.translate(None, _OF_NUMBERS_AND_NULLS)
            missing, skeleton = _marks(marked), marked.translate(None, b"n")
        else:
            skeleton = text.translate(None, _OF_NUMBERS)
        after = at + len(skeleton)
        if skeleton != pattern[at:after]:
            break
        numbers = skeleton.count(b",") + 1
        if cut == end:
            if after % (instance + 1) != instance:
                break
            yield _Piece(begin, cut, depth, 1, numbers, missing)
            return
        if pattern[after : after + 1] != b",":
            break
        deeper = depth + skeleton.count(b"[") - skeleton.count(b"]")
        yield _Piece(begin, cut, depth, deeper, numbers, missing)
        begin, at, depth = cut + 1, (after + 1) % (instance + 1), deeper
    yield None


@lru_cache(maxsize=8)
def _skeletons(shape: tuple[int, ...]) -> tuple[int, bytes]:
    """Length of an instance without the characters of numbers; and such instances, for a piece that begins in one."""
    instance = b""
    for length in reversed(shape):
        instance = b"[" + (instance + b",") * (length - 1) + instance + b"]"
    period = instance + b","
    return len(instance), period * (PIECE_BYTES // len(period) + 1) + period[:PIECE_BYTES]


def _kind(body: bytes | bytearray, piece: _Piece, kind: str) -> str:
    """The kind that fits this piece as well; for whole numbers, with or without a sign so far."""
    if any(body.find(sign, piece.begin, piece.end) >= 0 for sign in (b".", b"e", b"E")):
        return "f"
    return "i" if body.find(b"-", piece.begin, piece.end) >= 0 else kind


def _marks(marked: bytes | bytearray) -> npt.NDArray[np.uint32]:
    """Positions of the null numbers, from the skeleton of a piece: as many commas are before each as numbers."""
    marks = np.frombuffer(marked.translate(None, b"[]"), np.uint8)
    at = np.flatnonzero(marks == ord("n"))
    return (at - np.arange(len(at))).astype(np.uint32)


def _numbers(text: bytes, of_type: str, dtype: type[np.generic], piece: _Piece) -> Rows | None:
    """All numbers of nested lists, flattened; None if their count differs from the piece's, or if one does not fit the
    type.
    """
    if piece.missing is not None:
        text = text.replace(_NULL, _ZERO)
    found = _parsed(text, of_type, dtype)
    if found is None or found.size != piece.numbers:
        return None
    if piece.missing is not None:
        found = found.copy()
        found[piece.missing] = np.nan
    return found


def _parsed(text: bytes, of_type: str, dtype: type[np.generic]) -> Rows | None:
    try:
        if simdjson is not None:
            return np.frombuffer(simdjson.Parser().parse(text).as_buffer(of_type=of_type), dtype)
        orjson.loads(text)  # all numbers must be inside the list
        return np.array(orjson.loads(b"[%b]" % text.translate(_NESTING)), dtype)
    except Exception:  # the slower reader reports the error better
        return None
