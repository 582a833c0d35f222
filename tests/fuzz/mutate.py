"""Mutations of bytes that know the syntax of numbers, brackets and lengths."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

_LONGEST_CASE = 16 * 2**10
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")

NUMBERS = [
    b"0", b"1", b"-1", b"255", b"256", b"-0", b"0.5", b"1.0", b"1e0", b"1e400", b"-1e400", b"1e-400", b"65504",
    b"65520", b"3.4028236e38", b"32767", b"-32768", b"32768", b"16777217", b"9007199254740993", b"9007199254740993.0",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809",
    b"18446744073709551615", b"18446744073709551616", b"9007199791611905", b"1e19", b"9" * 400, b"0." + b"0" * 400 +
    b"1", b"01", b"1.", b".5", b"+1", b"NaN", b"Infinity", b"-Infinity", b"0x10", b"1_000", b"1e", b"true", b"null",
]  # fmt: skip
"""Limits of types, whole numbers that doubles cannot hold, and texts that are not numbers in JSON."""

_BYTES = [b"\0", b"\xff", b"\xfe", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\r\n", b" ", b"\n"]


def bytewise(tokens: Sequence[bytes]) -> Callable[[bytes, bytes, Random], bytes]:
    """A mutation by one to four edits, with these tokens of the format."""
    words = [*tokens, *_BYTES]

    def mutate(data: bytes, other: bytes, chance: Random) -> bytes:
        for _ in range(chance.choice((1, 1, 1, 1, 2, 3))):
            data = _edit(data, other, words, chance)
        return data[:_LONGEST_CASE]

    return mutate


def _edit(data: bytes, other: bytes, words: Sequence[bytes], chance: Random) -> bytes:
    begin, end = sorted((chance.randint(0, len(data)), chance.randint(0, len(data))))
    near = min(len(data), begin + chance.randint(0, 8))
    match chance.randrange(18):
        case 0:
            return data[:begin] + chance.choice(words) + data[begin:]
        case 1:
            return data[:begin] + chance.choice(words) + data[near:]
        case 4:
            return data[:begin] + bytes([chance.randrange(256)]) + data[begin + 1 :]
        case 5:
            return data[:begin] + data[near:]
        case 6:
            return data[:begin] + data[end:]
        case 7:
            return data[:end] + data[begin:end] + data[end:]
        case 8:
            return data[:begin]
        case 9:
            return data[:begin] + chance.choice(words) * chance.choice((2, 10, 100, 1100, 3000)) + data[begin:]
        case 10:
            at = chance.randint(0, len(other))
            return data[:begin] + other[at : at + chance.randint(0, 64)] + data[near:]
        case 2 | 3 | 11 | 12 | 13 | 14 | 15:
            return number(data, chance)
        case _:
            if not data:
                return data
            at = chance.randrange(len(data))
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def number(data: bytes, chance: Random) -> bytes:
    """Replace one of the numbers in a text."""
    found = list(_NUMBER.finditer(data))
    if not found:
        return data
    at = chance.choice(found)
    return data[: at.start()] + chance.choice(NUMBERS) + data[at.end() :]


def below_head(mutate: Callable[[bytes, bytes, Random], bytes]) -> Callable[[bytes, bytes, Random], bytes]:
    """A mutation for cases whose first line describes the input: that line is kept."""

    def mutated(data: bytes, other: bytes, chance: Random) -> bytes:
        head, _, body = data.partition(b"\n")
        return head + b"\n" + mutate(body, other.partition(b"\n")[2], chance)

    return mutated
