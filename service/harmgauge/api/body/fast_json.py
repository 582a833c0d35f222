"""Reads long lists of numbers in JSON several times faster than as nested lists, and piece by piece.

simdjson returns all numbers of a document in one buffer, without their nesting. The nesting is checked on the skeleton
of the text, which is the text without the numbers' own characters: it must consist of exactly the brackets and commas
of n instances.

If the input allows missing values, null is one. Its n stays in the skeleton and marks the number's position. simdjson
then reads it as " 0  ": the blanks separate it from the adjacent number. Since numbers contain no other letters, text
that is not a list of numbers and nulls cannot turn into one.

All of this holds the GIL while it works on a piece, so pieces are small; reading stops at the first invalid one.
"""

from __future__ import annotations

import importlib
import threading
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
"""Bytes read in one step: 400 us. simdjson takes about 20 bytes of memory for each byte read."""

_KINDS: dict[str, tuple[str, type[np.generic]]] = {"u": ("u", np.uint64), "i": ("i", np.int64), "f": ("d", np.float64)}
"""simdjson's code for each kind of number, and the matching NumPy type."""

_OF_NUMBERS = b"0123456789+-.eE \t\r\n"
_NULL, _ZERO = b"null", b" 0  "
_OF_NUMBERS_AND_NULLS = _OF_NUMBERS + b"ul"

_parsers = threading.local()
"""A parser for each thread, reused: the memory of a new one takes a third of its time. It keeps that of a piece."""

_NESTING = bytes.maketrans(b"[]", b"  ")


class _Piece(NamedTuple):
    """`body[begin:end]`, from one comma to another, in a list that is `opened` levels deep at the start and `closed` at
    the end.

    `missing` (k,) are the positions of its nulls, in order; None if there are none.
    """

    begin: int
    end: int
    opened: int
    closed: int
    numbers: int
    missing: npt.NDArray[np.uint32] | None


def read_numbers(
    body: bytes | bytearray, begin: int, end: int, shape: tuple[int, ...], kind: str, *, nulls: bool = False
) -> Steps[Rows | None]:
    """Read the list `body[begin:end]` of instances as 64-bit numbers (n, *shape); only their nesting is checked.

    A `shape` without axes means a flat list. `kind` is the NumPy kind of the target dtype: whole numbers stay exact,
    and become floats only if some have a point or an exponent. With `nulls`, for floats, null becomes NaN. Returns
    None, without a reason, for anything else.
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
        found = _numbers(bytes(memoryview(body)[begin:end]), of_type, dtype, pieces[0])
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

    Two adjacent numbers have exactly one comma between them, however deep they are nested.
    """
    instance, pattern = _skeletons(shape)
    at, depth = 0, 1  # in the skeleton of one instance and its comma; in the body
    while True:
        cut = end if end - begin <= PIECE_BYTES else body.rfind(b",", begin, begin + PIECE_BYTES)
        if cut < begin:  # longer than any number
            break
        # as bytes: bytearray's own `translate` takes four times as long
        text, missing = bytes(memoryview(body)[begin:cut]), None
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
    """Length of an instance's skeleton, and a run of such skeletons to compare with a piece that begins within one."""
    instance = b""
    for length in reversed(shape):
        instance = b"[" + (instance + b",") * (length - 1) + instance + b"]"
    period = instance + b","
    return len(instance), period * (PIECE_BYTES // len(period) + 1) + period[:PIECE_BYTES]


def _kind(body: bytes | bytearray, piece: _Piece, kind: str) -> str:
    """The kind to read this piece as, given the `kind` of the pieces before it."""
    if any(body.find(sign, piece.begin, piece.end) >= 0 for sign in (b".", b"e", b"E")):
        return "f"
    return "i" if body.find(b"-", piece.begin, piece.end) >= 0 else kind


def _marks(marked: bytes | bytearray) -> npt.NDArray[np.uint32]:
    """Positions of the nulls among the numbers of a piece, from its skeleton: the number of commas before each."""
    marks = np.frombuffer(marked.translate(None, b"[]"), np.uint8)
    at = np.flatnonzero(marks == ord("n"))
    return (at - np.arange(len(at))).astype(np.uint32)


def _numbers(text: bytes, of_type: str, dtype: type[np.generic], piece: _Piece) -> Rows | None:
    """All numbers of nested lists, flattened; None if their count is not the piece's, or one does not fit the type."""
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
            if (parser := getattr(_parsers, "parser", None)) is None:
                parser = _parsers.parser = simdjson.Parser()
            return np.frombuffer(parser.parse(text).as_buffer(of_type=of_type), dtype)
        orjson.loads(text)  # all numbers must be inside the list
        return np.array(orjson.loads(b"[%b]" % text.translate(_NESTING)), dtype)
    except Exception:  # the slower reader gives a better error message
        return None
