"""Bodies like `{"instances": [...], "parameters": {...}}`, read several times faster than as nested lists.

simdjson gives all numbers of a document as one buffer, but not how they were nested. That is known from what is left of
the body when the numbers' own characters are taken out: it must be exactly the brackets and commas of n instances.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from service.inference.bundle import InputSpec
from service.inference.outputs import Rows

simdjson: Any
try:
    simdjson = importlib.import_module("simdjson")
except ImportError:  # there is no wheel for this Python
    simdjson = None

_KEY = b'"instances"'
_MAX_FRAME_BYTES = 4096
"""Longest that all but the instances may be."""

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
    if count < 1 or skeleton != b"[" + b",".join([instance] * count) + b"]":
        return None
    try:
        numbers = simdjson.Parser().parse(array).as_buffer(of_type={"u": "u", "i": "i"}.get(kind, "d"))
    except Exception:  # whatever it stumbles over, the other reader says better
        return None
    rows = np.frombuffer(numbers, {"u": np.uint64, "i": np.int64}.get(kind, np.float64))
    return Plain(rows.reshape(count, *spec.shape), parameters) if rows.size == count * spec.row_size else None


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
