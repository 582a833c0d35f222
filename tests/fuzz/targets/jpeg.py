"""JPEG pictures, compared with Pillow."""

from __future__ import annotations

import struct
from random import Random

from tests.fuzz.mutate import bytewise
from tests.fuzz.target import SPECS, Target
from tests.fuzz.targets.picture import checker, pictures

_MARKERS = [bytes([0xFF, code]) for code in (0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xFE)]
_SEGMENTS = [
    b"\xff\xe1\xff\xffExif\0\0",
    b"\xff\xe1\0\x0eExif\0\0MM\0*\0\0",
    b"\xff\xe1\0\x1aExif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x1a\0\x05\xff\xff\xff\xff",
    b"\xff\xe2\0\x10ICC_PROFILE\0\1\1",
    b"\xff\xe2\0\x10ICC_PROFILE\0\0\0",
    b"\xff\xe2\0\x08MPF\0MM",
    b"\xff\xe2\0\x16MPF\0MM\0*\0\0\0\x08\0\1\xb0\0\0\7",
    b"\xff\xee\0\x0eAdobe\0d\0\0\0\0\2",
    b"\xff\xed\0\x20Photoshop 3.0\0008BIM\x04\x04\0\0\xff\xff\xff\xff",
    b"\xff\xdd\0\4\0\1",
    b"\xff\xda\0\x08\1\1\0\0\0\0",
    b"\xff\xc4\0\x02",
    *(
        b"\xff\xc0\0\x11\x08" + struct.pack(">HH", *size) + b"\3\1\x22\0\2\x11\1\3\x11\1"
        for size in ((4, 5), (65535, 65535))
    ),
    b"\xff\xc0\0\x0b\x08\0\4\0\5\1\1\x11\0",
    b"\xff\xc0\0\x14\x08\0\4\0\5\4\1\x11\0\2\x11\0\3\x11\0\4\x11\0",
]
_bytewise = bytewise([*_MARKERS, *_SEGMENTS, b"\xff\0", b"\xff\xff", b"\0\4\0\5", b"\xff" * 100])


def mutate(case: bytes, other: bytes, chance: Random) -> bytes:
    """Half of the time mutates whole segments: inserted, removed, or with a wrong length."""
    head, _, body = case.partition(b"\n")
    if chance.random() < 0.5:
        return head + b"\n" + _bytewise(body, other.partition(b"\n")[2], chance)
    found = [at for at in range(len(body) - 4) if body[at] == 0xFF and body[at + 1] not in (0, 0xFF)]
    if not found:
        return head + b"\n" + body
    at = chance.choice(found)
    length = int.from_bytes(body[at + 2 : at + 4], "big")
    match chance.randrange(4):
        case 0:
            body = body[:at] + chance.choice(_SEGMENTS) * chance.choice((1, 1, 2, 300)) + body[at:]
        case 1:
            body = body[:at] + body[at + 2 + length :]
        case 2:
            lie = struct.pack(">H", chance.choice((0, 1, 2, length - 1 & 0xFFFF, length + 1 & 0xFFFF, 0xFFFF)))
            body = body[: at + 2] + lie + body[at + 4 :]
        case _:
            body = body[: at + 4] + _bytewise(body[at + 4 : at + 2 + length], b"", chance) + body[at + 2 + length :]
    return head + b"\n" + body


TARGET = Target("jpeg", checker("image/jpeg", SPECS["pixels"]), pictures("JPEG", ("L", "RGB", "CMYK")), mutate)
