"""Bodies of nothing but `{"instances": [...]}`, read several times faster than as nested lists.

simdjson gives all numbers of a document as one buffer, but not how they were nested. That is known from what is left of
the body when the numbers' own characters are taken out: it must be exactly the brackets and commas of n instances.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

import numpy as np

from service.inference.bundle import InputSpec
from service.inference.runtime import Rows

simdjson: Any
try:
    simdjson = importlib.import_module("simdjson")
except ImportError:  # there is no wheel for this Python
    simdjson = None

_WHITE_SPACE = b" \t\r\n"
_DIGITS = b"0123456789" + _WHITE_SPACE
_REAL_NUMBERS = _DIGITS + b"+-.eE"


def read_plain(body: bytes, spec: InputSpec) -> Rows | None:
    """The numbers as (n, *shape) in 64 bits, unchecked but for their nesting; None where it is no such body.

    None says nothing of what is wrong, or whether anything is: the slower reader decides.
    """
    if simdjson is None:
        return None
    kind = spec.numpy_dtype.kind
    unsigned = kind == "u"
    left_out = _DIGITS if unsigned else _REAL_NUMBERS
    skeleton = body.translate(None, left_out)
    head, instance = _skeletons(spec.shape, left_out)
    count = (len(skeleton) - len(head) - 1) // (len(instance) + 1)
    if count < 1 or skeleton != head + b",".join([instance] * count) + b"]}":
        return None
    try:
        document: Any = simdjson.Parser().parse(body)
        numbers = document["instances"].as_buffer(of_type={"u": "u", "i": "i"}.get(kind, "d"))
    except Exception:  # whatever it stumbles over, the other reader says better
        return None
    array = np.frombuffer(numbers, {"u": np.uint64, "i": np.int64}.get(kind, np.float64))
    return array.reshape(count, *spec.shape) if array.size == count * spec.row_size else None


@lru_cache(maxsize=8)
def _skeletons(shape: tuple[int, ...], left_out: bytes) -> tuple[bytes, bytes]:
    """What stands before the first instance, and one instance, both without the characters of numbers."""
    instance = b""
    for length in reversed(shape):
        instance = b"[" + b",".join([instance] * length) + b"]"
    return b'{"instances":['.translate(None, left_out), instance
