"""Reads `{"instances": [...], "parameters": {...}}` for a bundle with inputs by name, piece by piece.

A piece ends after an instance. The text up to there is parsed as a list: if that succeeds, the cut was not inside a
string or an instance, because a parser reads from the left. The rest of the body, with the list emptied up to there
and a mark in front, is parsed at the end: the mark must then be the first instance, so nothing else in the body can
have been mistaken for the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from harmgauge.api.body.json_frame import MARK, MAX_FRAME_BYTES
from harmgauge.api.body.named.plan import Plan
from harmgauge.api.body.named.tokens import TextReader
from harmgauge.api.body.named.values import rows_of_lists, rows_of_records, too_long
from harmgauge.api.body.steps import Steps
from harmgauge.api.said import json_error, quoted, said
from harmgauge.bundle.named_inputs import TEXT
from harmgauge.bundle.named_rows import NamedRows, join_parts
from harmgauge.bundle.values import MAX_STRING_CHARACTERS
from harmgauge.errors import InvalidParameters, TooLarge, Unprocessable, Unreadable

PIECE_BYTES = 32 * 2**10
"""Bytes parsed in one step: half a millisecond. Python's objects take up to twenty times the memory."""

MAX_INSTANCE_BYTES = 2**20
"""Limit for an instance in a body of several pieces: the 131,072 characters of a string, escaped, and more."""

_MOST_CUTS = 32
"""Cuts tried for one piece: each that fails was inside an instance."""

_INSTANCES = re.compile(rb'"instances"[ \t\r\n]*+:[ \t\r\n]*+\[')
_COMMA = re.compile(rb"[ \t\r\n]*+,")
_FIRST = re.compile(rb"[ \t\r\n]*+([{\[\"])")
_CLOSING = {b"{": b"}", b"[": b"]", b'"': b'"'}
"""The last character of an instance by its first."""


def read_records(
    body: bytes | bytearray, plan: Plan, texts: TextReader | None, max_rows: int
) -> Steps[tuple[NamedRows, dict[str, Any]]]:
    """The rows and the unchecked parameters. `texts` reads instances that are texts; None if the bundle cannot.

    Raises Unreadable if it is not JSON, TooLarge beyond `max_rows`, Unprocessable or InvalidParameters.
    """
    parts: list[NamedRows] = []
    count, begin, at, sample = 0, 0, 0, None
    if len(body) > PIECE_BYTES and (found := _INSTANCES.search(body, 0, MAX_FRAME_BYTES)) is not None:
        begin = at = found.end()
        for items, end in _pieces(body, begin):
            at = end
            sample = items[0] if sample is None else sample
            _check_count(count + len(items), max_rows)
            parts.append((yield from _rows(items, sample, plan, texts, count)))
            count += len(items)
            yield
    items, parameters = _document(body, begin, at, is_whole=not parts)
    _check_count(count + len(items), max_rows)
    if items:
        parts.append((yield from _rows(items, items[0] if sample is None else sample, plan, texts, count)))
    elif not parts:
        raise Unprocessable("instances: expected at least one instance, got an empty list.")
    return parts[0] if len(parts) == 1 else join_parts(parts), parameters


def _pieces(body: bytes | bytearray, at: int) -> Iterator[tuple[list[Any], int]]:
    """Instances from `at` on, and where the next ones begin; ends near the end of the body, or of the list.

    Raises Unprocessable if no end of an instance is found.
    """
    opening = _FIRST.match(body, at)
    if opening is None:
        return
    closing = _CLOSING[bytes(opening[1])]
    while len(body) - at > PIECE_BYTES:
        size = PIECE_BYTES
        while (found := _cut(body, at, at + size, closing)) is None:
            if at + size >= len(body):  # the last instances are longer than a piece
                return
            size *= 2
            if size > 2 * MAX_INSTANCE_BYTES:
                raise Unprocessable(
                    f"An instance near byte {at} is longer than {MAX_INSTANCE_BYTES} bytes, or the JSON is not valid "
                    "from there on; send it in a request with fewer instances for details."
                )
        yield found
        at = found[1]


def _cut(body: bytes | bytearray, begin: int, end: int, closing: bytes) -> tuple[list[Any], int] | None:
    """The instances from `begin` to the last end of one before `end`, and the position after its comma."""
    view, at = memoryview(body), min(end, len(body))
    for _ in range(_MOST_CUTS):
        at = body.rfind(closing, begin, at)
        if at < 0:
            return None
        comma = _COMMA.match(body, at + 1)
        if comma is None:
            continue
        try:
            items: list[Any] = orjson.loads(b"".join((b"[", view[begin : at + 1], b"]")))
        except orjson.JSONDecodeError:
            continue
        return items, comma.end()
    return None


def _document(body: bytes | bytearray, begin: int, at: int, *, is_whole: bool) -> tuple[list[Any], dict[str, Any]]:
    """The instances from `at` on and the parameters; the others were read between `begin` and `at`."""
    view = memoryview(body)
    if is_whole:
        text: bytes | memoryview = view
    else:
        text = b"".join((view[:begin], b'"', MARK.encode(), b'",', view[at:]))
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        why = json_error(error) if is_whole else f"after byte {at}: {error.msg}"
        raise Unreadable(f"The body cannot be read as JSON: {why}.") from None
    if not isinstance(document, dict) or "instances" not in document:
        raise Unprocessable('The body must be an object like {"instances": [...]}.')
    unknown = sorted(document.keys() - {"instances", "parameters"})
    if unknown:
        raise Unprocessable(f"Unknown field {quoted(unknown[0])}; known: 'instances' and 'parameters'.")
    parameters = document.get("parameters")
    if not isinstance(parameters, dict | None):
        raise InvalidParameters(f"'parameters': expected an object, got {said(parameters)}.")
    items = document["instances"]
    if not isinstance(items, list):
        raise Unprocessable(f"instances: expected a list of instances, got {said(items)}.")
    if not is_whole:
        if not items or items[0] != MARK:
            raise Unprocessable("The body has 'instances' twice, or inside another value: send it once.")
        items = items[1:]
    return items, parameters or {}


def _rows(items: list[Any], sample: object, plan: Plan, texts: TextReader | None, first: int) -> Steps[NamedRows]:
    """Rows of instances that are records, lists or texts, as `sample`, the first of the request, is."""
    kind = type(sample)
    if kind is str and plan.inputs.text_input is not None:
        key = plan.inputs.text_input.name
        _check_same(items, str, "a string", first)
        yield from ()
        return rows_of_records([{key: item} for item in items], plan, first)
    if texts is not None and (kind is str or (isinstance(sample, dict) and TEXT in sample)):
        return (yield from texts.read([_text(item, first + at) for at, item in enumerate(items)], first))
    if kind is list and plan.only_list is not None:
        return rows_of_lists(items, plan, first)
    return rows_of_records(items, plan, first)


def _check_same(items: list[Any], kind: type, due: str, first: int) -> None:
    for at, item in enumerate(items):
        if type(item) is not kind:
            raise Unprocessable(f"instances[{first + at}]: expected {due}, got {said(item)}.")


def _text(item: object, row: int) -> str:
    """The text of an instance: a string, or an object with only a text."""
    text = item
    if isinstance(item, dict):
        if item.keys() != {TEXT}:
            key = next((key for key in sorted(item) if key != TEXT), TEXT)
            raise Unprocessable(
                f"instances[{row}]: expected only {TEXT!r}, as in the first instance, got {quoted(key)}."
            )
        text = item[TEXT]
    if not isinstance(text, str):
        raise Unprocessable(f"instances[{row}]: expected a text, got {said(text)}.")
    if len(text) > MAX_STRING_CHARACTERS:
        raise Unprocessable(f"instances[{row}]: {too_long(text)}")
    return text


def _check_count(rows: int, most: int) -> None:
    if rows > most:
        raise TooLarge(f"The request has more than {most} instances: split it.")
