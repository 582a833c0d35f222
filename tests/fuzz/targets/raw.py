"""Raw bytes, compared with `struct`."""

from __future__ import annotations

import struct
from typing import Any

from harmgauge.api.body import decode, media
from harmgauge.bundle.served_input import InputSpec
from harmgauge.errors import RequestError
from tests.fuzz.expected import rows_of_flat
from tests.fuzz.mutate import below_head, bytewise
from tests.fuzz.target import SPECS, Target, attempt, check_rows, seed_rows, split

_CODES = {"uint8": "B", "int16": "h", "int64": "q", "float16": "e", "float32": "f", "float64": "d"}
_TOKENS = [
    *(struct.pack("<d", number) for number in (float("nan"), float("inf"), -float("inf"), 1e300, 5e-324, -0.0, 1.0)),
    *(struct.pack("<f", number) for number in (float("nan"), float("inf"), -float("inf"), 1e38, 1e-45, -0.0, 1.0)),
    *(struct.pack("<e", number) for number in (float("nan"), float("inf"), 65504.0, 0.5)),
    b"\x7f\xff", b"\x80", bytes(8), bytes(60),
]  # fmt: skip


def expected(body: bytes, spec: InputSpec) -> Any:
    """Rows of little-endian numbers; None if the bytes are not whole instances."""
    if len(body) % spec.row_bytes or not body:
        return None
    numbers = struct.unpack(f"<{len(body) // spec.numpy_dtype.itemsize}{_CODES[spec.dtype]}", body)
    return rows_of_flat(list(numbers), len(body) // spec.row_bytes, spec)


def check(case: bytes) -> str:
    spec, _, body = split(case)
    found = attempt(lambda: decode.read(body, media.RAW, {}, spec))
    rows = found if isinstance(found, RequestError) else found.instances
    return check_rows(rows, expected(body, spec), spec)


_SEEDS = [name.encode() + b"\n" + seed_rows(rows, spec).tobytes() for name, spec in SPECS.items() for rows in (1, 2, 5)]

TARGET = Target("raw", check, _SEEDS, below_head(bytewise(_TOKENS)))
