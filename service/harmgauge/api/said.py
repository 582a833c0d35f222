"""Formats clients' values for error messages: exact, but short enough to read."""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

LONGEST = 40
"""Maximum number of characters quoted from a value: it may be personal data, and errors end up in clients' logs."""

_LITERAL = re.compile(r"[-+.0-9eE]+")


def said(value: object) -> str:
    """A value of JSON or NumPy in words: null, true, the string '7', 0.99999999, a list."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return f"the string {quoted(value)}"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return number(value)


def quoted(name: object) -> str:
    """A name in quotes; any other value as formatted by `said`."""
    if not isinstance(name, str):
        return said(name)
    return repr(name) if len(name) <= LONGEST else f"{name[:LONGEST]!r}..."


def number(value: object) -> str:
    """The fewest digits that represent this number in its own precision: 0.1 for a float32, 0.99999999 for a float64.

    A whole number has no ".0": JSON's 7 may have been read as a float.
    """
    return clipped_to(LONGEST, str(value).removesuffix(".0"))


def sizes(shape: Sequence[object]) -> str:
    """A tensor's shape as sent by the client: [1, 32, 32, 3]."""
    return clipped_to(LONGEST, str(list(shape[:LONGEST])))


def clipped_to(most: int, text: str) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def json_error(error: orjson.JSONDecodeError) -> str:
    """Why a text is not valid JSON. A number beyond float64 is quoted."""
    literal = _LITERAL.match(error.doc, error.pos)
    if literal is None or not error.msg.startswith("number is infinity"):
        return str(error)
    return (
        f"the number {clipped_to(LONGEST, literal[0])} at line {error.lineno} column {error.colno} is out of range for "
        "a float64"
    )
