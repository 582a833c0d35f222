"""Finds the one long list of numbers in a JSON body, and parses the JSON around it.

The list is found as text and cut out; the rest is short, and is parsed as JSON with a mark in the list's place. The
list is accepted only if the mark then appears in the expected place, so none of a client's names or strings can be
mistaken for it.
"""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

MAX_FRAME_BYTES = 16 * 2**10
"""Maximum length of the JSON around the list."""

MARK = secrets.token_hex(16)
"""Replaces the list. Clients cannot guess it."""


class Framed(NamedTuple):
    """The list is `body[begin:end]`, brackets included; `document` is the body with MARK in its place."""

    begin: int
    end: int
    document: Any


def cut_out(body: bytes | bytearray, size: int, name: bytes) -> Framed | None:
    """Find and cut out the list under `name` in the first `size` bytes of a body; None if the body is not that simple.

    The contents of the list are not checked.
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
    """Position of the first quote or closing brace: one of the two follows any list of numbers that is an object's
    value.
    """
    brace = body.find(b"}", begin, end)
    quote = body.find(b'"', begin, end if brace < 0 else brace)
    return max(brace, begin) if quote < 0 else quote


@lru_cache(maxsize=8)
def _beginning(name: bytes) -> re.Pattern[bytes]:
    return re.compile(rb'"%b"[ \t\r\n]*+:[ \t\r\n]*+\[' % re.escape(name))


class FramedLists(NamedTuple):
    """Lists of numbers at `spans`, (begin, end) each; `document` is the body with `mark(i)` in the place of list i."""

    spans: list[tuple[int, int]]
    document: Any


MIN_LIST_BYTES = 512
"""Shorter lists are not worth cutting out."""


def mark(index: int) -> str:
    """Replaces list `index`."""
    return f"{MARK}-{index}"


def cut_out_all(body: bytes | bytearray, size: int, name: bytes, most: int, max_frame_bytes: int) -> FramedLists | None:
    """Find and cut out all long lists of numbers under `name`, at most `most`; None if the rest of the first `size`
    bytes is longer than `max_frame_bytes`, or not JSON.
    """
    pattern = _beginning(name)
    spans: list[tuple[int, int]] = []
    kept: list[bytes | bytearray] = []
    at = copied = frame_bytes = 0
    for _ in range(most + 1):
        found = pattern.search(body, at, size)
        if found is None:
            break
        begin = found.end() - 1
        end = body.rfind(b"]", begin, _first(body, begin, size)) + 1
        at = max(end, found.end())
        if end - begin >= MIN_LIST_BYTES:
            kept += [body[copied:begin], b'"%b"' % mark(len(spans)).encode()]
            frame_bytes += begin - copied
            spans.append((begin, end))
            copied = end
    if frame_bytes + size - copied > max_frame_bytes:
        return None
    kept.append(body[copied:size])
    try:
        return FramedLists(spans, orjson.loads(b"".join(kept)))
    except orjson.JSONDecodeError:
        return None
