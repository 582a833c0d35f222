"""Flags in a route's query: `?probabilities=true`.

Routes with a query reject unknown flags. Routes without one ignore it because probes, scrapers and proxies add their
own parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from harmgauge.api.said import quoted
from harmgauge.errors import InvalidParameters


def read_flags(query: bytes, known: Iterable[str]) -> dict[str, bool]:
    """The flags that a query sets, by name. Raises InvalidParameters."""
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    counts = Counter(name for name, _ in given)
    known = list(known)
    for name, count in counts.items():
        if name not in known:
            raise InvalidParameters(_unknown(name, known))
        if count > 1:
            raise InvalidParameters(f"The query parameter {name!r} is set {count} times; set it once.")
    return {name: _flag(name, value) for name, value in given}


def documented(**descriptions: str) -> dict[str, Any]:
    """Flags by name, in the form of an OpenAPI operation's parameters."""
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": said, "schema": {"type": "boolean"}}
            for name, said in descriptions.items()
        ]
    }


def _unknown(name: str, known: list[str]) -> str:
    if name.lower() in known:
        return f"Unknown query parameter {name!r}; names are lower case: {name.lower()!r}."
    return f"Unknown query parameter {quoted(name)}; known: {', '.join(known)}."


def _flag(name: str, value: str) -> bool:
    if value in ("true", "false"):
        return value == "true"
    if not value:
        raise InvalidParameters(f"The query parameter {name!r} has no value; expected true or false.")
    how = " in lower case" if value.lower() in ("true", "false") else ""
    raise InvalidParameters(f"The query parameter {name!r}: expected true or false{how}, got {quoted(value)}.")
