"""WebP pictures, compared with Pillow, which reads all their chunks."""

from __future__ import annotations

import struct
from random import Random

from tests.fuzz.mutate import bytewise
from tests.fuzz.target import SPECS, Target
from tests.fuzz.targets.picture import checker, pictures

_NAMES = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP", b"XMP ", b"JUNK")
_bytewise = bytewise([*_NAMES, b"\x9d\x01\x2a", b"\x2f", b"\xff\xff", b"\0\0\0\0", b"\xff\x3f\xff\x3f"])


def mutate(case: bytes, other: bytes, chance: Random) -> bytes:
    """Half of the time mutates whole chunks: renamed, repeated, removed, with a wrong length or other contents."""
    head, _, body = case.partition(b"\n")
    if chance.random() < 0.5 or len(body) < 20:
        return head + b"\n" + _bytewise(body, other.partition(b"\n")[2], chance)
    chunks: list[tuple[bytes, bytes, int]] = []
    at = 12
    while at + 8 <= len(body) and len(chunks) < 100:
        name, length = struct.unpack_from("<4sI", body, at)
        chunks.append((name, body[at + 8 : at + 8 + length], length))
        at += 8 + length + length % 2
    if not chunks:
        return head + b"\n" + body
    at = chance.randrange(len(chunks))
    name, content, length = chunks[at]
    match chance.randrange(6):
        case 0:
            chunks[at] = chance.choice(_NAMES), content, length
        case 1:
            chunks[at:at] = [chunks[at]] * chance.choice((1, 2, 80))
        case 2:
            del chunks[at]
        case 3:
            chunks[at] = name, content, chance.choice((0, 1, length + 1, 2**31, 2**32 - 1))
        case 4:
            content = _bytewise(content, b"", chance)
            chunks[at] = name, content, len(content)
        case _:
            canvas = bytes(
                [chance.choice((0, 0x10, 0x02, 0xFF)), 0, 0, 0, chance.randrange(9), 0, 0, chance.randrange(9), 0, 0]
            )
            chunks.insert(0, (b"VP8X", canvas, 10))
    data = b"".join(
        name + struct.pack("<I", length) + content + b"\0" * (len(content) % 2) for name, content, length in chunks
    )
    return head + b"\nRIFF" + struct.pack("<I", 4 + len(data)) + b"WEBP" + data


TARGET = Target("webp", checker("image/webp", SPECS["pixels"]), pictures("WEBP", ("L", "RGB", "RGBA", "P")), mutate)
