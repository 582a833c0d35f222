"""Mutations of Parquet files that still look like one: pages change in place, a changed footer has the right length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.mutate import bytewise

_TAIL_BYTES = 8
"""The footer's length in 4 bytes, then `PAR1`."""

_VALUES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0F, 0x10, 0x15, 0x7E, 0x7F, 0x80, 0xFE, 0xFF)
"""Bytes that are small numbers, headers of fields, or limits of a varint or of a width in bits."""


def parquetwise(tokens: Sequence[bytes]) -> Callable[[bytes, bytes, Random], bytes]:
    """A mutation of the pages, of the footer, or of any byte with these tokens."""
    anywhere = bytewise(tokens)

    def mutate(data: bytes, other: bytes, chance: Random) -> bytes:
        begin = _footer_begin(data)
        kind = chance.randrange(8)
        if begin is None or kind == 0:
            return anywhere(data, other, chance)
        pages, footer = data[4:begin], data[begin:-_TAIL_BYTES]
        if kind < 4:
            pages = _overwritten(pages, chance)
        if kind > 2:
            footer = anywhere(footer, footer, chance) if kind == 7 else _overwritten(footer, chance)
        return b"PAR1" + pages + footer + len(footer).to_bytes(4, "little") + b"PAR1"

    return mutate


def _footer_begin(data: bytes) -> int | None:
    if len(data) < 4 + _TAIL_BYTES or data[-4:] != b"PAR1":
        return None
    begin = len(data) - _TAIL_BYTES - int.from_bytes(data[-8:-4], "little")
    return begin if begin >= 4 else None


def _overwritten(data: bytes, chance: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4)) if changed else 0):
        at = chance.randrange(len(changed))
        changed[at] = chance.choice((chance.choice(_VALUES), changed[at] ^ 1 << chance.randrange(8)))
    return bytes(changed)
