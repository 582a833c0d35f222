"""Position of the one long list of numbers in a JSON body, and the JSON around it.

The list is found as text and cut out; the rest is short, and read as JSON with a mark in the list's place. The list is
accepted only if the mark is then found where it belongs: none of a client's names or texts can be mistaken for it.
"""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

MAX_FRAME_BYTES = 16 * 2**10
"""Longest that all but the list may be."""

MARK = secrets.token_hex(16)
"""Replaces the list. Cannot be guessed."""


class Framed(NamedTuple):
    """The list is `body[begin:end]`, brackets included; `document` is the body with MARK in its place."""

    begin: int
    end: int
    document: Any


def cut_out(body: bytes | bytearray, size: int, name: bytes) -> Framed | None:
    """The list under `name` in the first `size` bytes of a body; None if it is not that simple.

    The list itself is not checked.
    """
    found = _beginning(name).search(body, 0, min(size, MAX_FRAME_BYTES))
    if found is None:
        return None
    begin = found.end() - 1
    tail = max(begin, size - MAX_FRAME_BYTES)
    behind = _first(body, tail, size)
    end = body.rfind(b"]", tail, behind) + 1
    if not end or begin + size - end > MAX_FRAME_BYTES:
        return None
    try:
        document = orjson.loads(b"".join((body[:begin], b'"', MARK.encode(), b'"', body[end:size])))
    except orjson.JSONDecodeError:
        return None
    return Framed(begin, end, document)


def _first(body: bytes | bytearray, begin: int, end: int) -> int:
    """Position of the first quote or closing brace: one of them follows a list of numbers that is an object's value."""
    brace = body.find(b"}", begin, end)
    quote = body.find(b'"', begin, end if brace < 0 else brace)
    return max(brace, begin) if quote < 0 else quote


@lru_cache(maxsize=8)
def _beginning(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb'"%b"[ \t\r\n]*+:[ \t\r\n]*+\[' % re.escape(name))
