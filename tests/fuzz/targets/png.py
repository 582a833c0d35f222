"""PNG pictures, compared with Pillow, which reads all their chunks."""

from __future__ import annotations

import io
import struct
import zlib
from random import Random

import numpy as np
from PIL import Image

from tests.fuzz.mutate import bytewise
from tests.fuzz.target import SPECS, Target
from tests.fuzz.targets.picture import checker, pictures

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BOMB = zlib.compress(bytes(8 * 2**20))

_CHUNKS = [
    (b"zTXt", b"name\0\0" + _BOMB),
    (b"iCCP", b"name\0\0" + _BOMB),
    (b"iTXt", b"name\0\1\0\0\0" + _BOMB),
    (b"tEXt", b"name\0" + b"x" * 2000),
    (b"acTL", struct.pack(">II", 2, 0)),
    (b"fcTL", struct.pack(">IIIIIHHBB", 0, 5, 4, 0, 0, 1, 1, 0, 0)),
    (b"fdAT", struct.pack(">I", 1) + zlib.compress(bytes(64))),
    (b"IDAT", b""),
    (b"IDAT", zlib.compress(bytes(4 * 16))),
    (b"IDAT", _BOMB),
    (b"IEND", b""),
    (b"PLTE", bytes(768)),
    (b"PLTE", bytes(769)),
    (b"tRNS", bytes(6)),
    (b"tRNS", bytes(256)),
    (b"gAMA", bytes(4)),
    (b"pHYs", bytes(3)),
    (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff"),
    (b"\0\0\0\0", b""),
    (b"IHDR", struct.pack(">IIBBBBB", 5, 4, 16, 2, 0, 0, 0)),
    *(
        (b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
        for size in ((5, 4), (65535, 65535), (2**31, 1), (0, 4))
    ),
]
_bytewise = bytewise([name for name, _ in _CHUNKS] + [struct.pack(">I", size) for size in (0, 1, 2**31 - 1, 2**32 - 1)])


def _chunk(name: bytes, data: bytes, length: int | None = None) -> bytes:
    size = len(data) if length is None else length
    return struct.pack(">I", size) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _split(body: bytes) -> list[tuple[bytes, bytes]]:
    found, position = [], len(_SIGNATURE)
    while position + 8 <= len(body):
        length, name = struct.unpack_from(">I4s", body, position)
        found.append((name, body[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


def mutate(case: bytes, other: bytes, chance: Random) -> bytes:
    """Mostly mutates chunks, with correct checksums."""
    head, _, body = case.partition(b"\n")
    chunks = _split(body)
    if chance.random() < 0.2 or not chunks:
        return head + b"\n" + _bytewise(body, other.partition(b"\n")[2], chance)
    lie = None
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(chunks))
        name, data = chunks[at]
        match chance.randrange(8):
            case 0 | 1:
                chunks.insert(at + chance.randrange(2), chance.choice(_CHUNKS))
            case 2:
                chunks[at] = chance.choice(_CHUNKS)
            case 3:
                chunks[at] = name, _bytewise(data, b"", chance)
            case 4 if name == b"IDAT":
                chunks[at] = name, zlib.compress(_unpacked(data, chance))
            case 5:
                lie = chance.choice((0, 1, 2**31 - 1, 2**32 - 1))
            case 6 if name == b"IHDR" and len(data) == 13:
                depth_and_more = bytes(chance.choice((0, 1, 2, 3, 4, 6, 8, 16)) for _ in range(5))
                chunks[at] = name, data[:8] + depth_and_more
            case _ if len(chunks) > 1:
                del chunks[at]
            case _:
                pass
    lying = chance.randrange(len(chunks))
    parts = [_chunk(name, data, lie if index == lying else None) for index, (name, data) in enumerate(chunks)]
    return head + b"\n" + _SIGNATURE + b"".join(parts)


def _unpacked(data: bytes, chance: Random) -> bytes:
    try:
        return _bytewise(zlib.decompressobj().decompress(data, 4096), b"", chance)
    except zlib.error:
        return data


def _seeds() -> list[bytes]:
    made = pictures("PNG", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"))
    apng = io.BytesIO()
    frames = [Image.fromarray(np.full((4, 5, 3), value, np.uint8)) for value in (1, 200)]
    frames[0].save(apng, "PNG", save_all=True, append_images=frames[1:])
    return [*made, b"pixels\n" + apng.getvalue()]


TARGET = Target("png", checker("image/png", SPECS["pixels"]), _seeds(), mutate)
