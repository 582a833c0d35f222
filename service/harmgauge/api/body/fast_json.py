"""Bodies like `{"instances": [...], "parameters": {...}}`, read several times faster than as nested lists.

simdjson gives all numbers of a document as one buffer, but not how they were nested. That is known from what is left of
the body when the numbers' own characters are taken out: it must be exactly the brackets and commas of n instances.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from harmgauge.bundle.rows import Rows
from harmgauge.bundle.served_input import InputSpec

simdjson: Any
try:
    simdjson = importlib.import_module("simdjson")
except ImportError:  # there is no wheel for this Python
    simdjson = None

_KEY = b'"instances"'
_MAX_FRAME_BYTES = 4096
"""Longest that all but the instances may be."""

_PIECE_BYTES = 256 * 2**10
"""simdjson takes some 20 bytes for each that it reads at once; pieces are whole instances, however large."""

_KINDS: dict[str, tuple[str, type[np.generic]]] = {"u": ("u", np.uint64), "i": ("i", np.int64), "f": ("d", np.float64)}
"""simdjson's name for a kind of numbers, and what it gives them as."""

_WHITE_SPACE = b" \t\r\n"
_DIGITS = b"0123456789" + _WHITE_SPACE
_REAL_NUMBERS = _DIGITS + b"+-.eE"


@dataclass(frozen=True)
class Plain:
    """`numbers` (n, *shape) in 64 bits, unchecked but for their nesting; `parameters` unchecked."""

    numbers: Rows
    parameters: dict[str, Any]


def is_available() -> bool:
    return simdjson is not None


def read_plain(body: bytes, spec: InputSpec) -> Plain | None:
    """The numbers and parameters; None where it is no such body.

    None says nothing of what is wrong, or whether anything is: the slower reader decides.
    """
    if simdjson is None:
        return None
    begin, end = _array_of(body)
    parameters = _parameters(body[:begin], body[end:])
    if parameters is None:
        return None
    array = body[begin:end]
    kind = spec.numpy_dtype.kind
    left_out = _DIGITS if kind == "u" else _REAL_NUMBERS
    skeleton = array.translate(None, left_out)
    instance = _skeleton(spec.shape)
    count = (len(skeleton) - 1) // (len(instance) + 1)
    if count < 1 or skeleton != b"[" + (instance + b",") * (count - 1) + instance + b"]":
        return None
    of_type, dtype = _KINDS[kind]
    if len(array) <= _PIECE_BYTES:
        numbers = _numbers(array, of_type, dtype)
        if numbers is None or numbers.size != count * spec.row_size:
            return None
        return Plain(numbers.reshape(count, *spec.shape), parameters)
    del skeleton
    numbers = np.empty(count * spec.row_size, dtype)
    done = 0
    for piece, rows in _pieces(array, count, instance.count(b"]")):
        found = _numbers(piece, of_type, dtype)
        if found is None or found.size != rows * spec.row_size:
            return None
        numbers[done : done + found.size] = found
        done += found.size
    return Plain(numbers.reshape(count, *spec.shape), parameters)


def _numbers(array: bytes, of_type: str, dtype: type[np.generic]) -> Rows | None:
    """All numbers of nested lists, one after the other; None where one does not fit the type."""
    try:
        return np.frombuffer(simdjson.Parser().parse(array).as_buffer(of_type=of_type), dtype)
    except Exception:  # whatever it stumbles over, the other reader says better
        return None


def _pieces(array: bytes, count: int, closings: int) -> Iterator[tuple[bytes, int]]:
    """The list of `count` instances as shorter lists, and how many each has; an instance has so many `]`."""
    begin = 1
    while count:
        end = begin + _PIECE_BYTES
        rows = count
        if end < len(array) - 1:
            closed = array.count(b"]", begin, end)
            rows = closed // closings + 1
            for _ in range(rows * closings - closed):
                end = array.index(b"]", end) + 1
        else:
            end = len(array) - 1
        yield b"[" + array[begin:end] + b"]", rows
        begin = array.find(b",", end) + 1
        count -= rows


def _array_of(body: bytes) -> tuple[int, int]:
    """Where the list of instances seems to begin and end."""
    return body.find(b"[", body.find(_KEY)), body.rfind(b"]") + 1


def _parameters(before: bytes, after: bytes) -> dict[str, Any] | None:
    """The parameters of a body that has nothing but them and the instances, cut out between `before` and `after`."""
    if before == b'{"instances":' and after == b"}":
        return {}
    head, key, colon = before.rpartition(_KEY)
    if not key or colon.strip(_WHITE_SPACE) != b":" or len(before) + len(after) > _MAX_FRAME_BYTES:
        return None
    try:
        document = orjson.loads(head + key + b":0" + after)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict) or not document.keys() <= {"instances", "parameters"}:
        return None
    parameters = document.get("parameters", {})
    return parameters if document.get("instances") == 0 and isinstance(parameters, dict) else None


@lru_cache(maxsize=8)
def _skeleton(shape: tuple[int, ...]) -> bytes:
    """One instance without the characters of numbers."""
    instance = b""
    for length in reversed(shape):
        instance = b"[" + b",".join([instance] * length) + b"]"
    return instance
