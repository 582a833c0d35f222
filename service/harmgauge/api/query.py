"""Parameters in a route's query: `?probabilities=true`.

Routes with a query reject unknown parameters. Routes without one ignore it because probes, scrapers and proxies add
their own parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from harmgauge.api.said import quoted
from harmgauge.errors import InvalidParameters

Reader = Callable[[str, str], Any]
"""Reads the value of a parameter, given its name and its text. Raises InvalidParameters."""


def read_query(query: bytes, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """The parameters that a query sets, by name, each read by its reader. Raises InvalidParameters."""
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    counts = Counter(name for name, _ in given)
    for name, count in counts.items():
        if name not in readers:
            raise InvalidParameters(_unknown(name, list(readers)))
        if count > 1:
            raise InvalidParameters(f"The query parameter {name!r} is set {count} times; set it once.")
    return {name: readers[name](name, value) for name, value in given}


def read_flags(query: bytes, known: Iterable[str]) -> dict[str, bool]:
    """The flags that a query sets, by name. Raises InvalidParameters."""
    return read_query(query, dict.fromkeys(known, flag))


def one_of(*choices: str) -> Reader:
    """A reader of one of these words."""

    def read(name: str, value: str) -> str:
        if value not in choices:
            raise InvalidParameters(
                f"The query parameter {name!r}: expected one of {', '.join(choices)}, got {quoted(value)}."
            )
        return value

    return read


def whole(least: int, most: int) -> Reader:
    """A reader of a whole number from `least` to `most`."""

    def read(name: str, value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) <= len(str(most)) and least <= int(value) <= most):
            raise InvalidParameters(
                f"The query parameter {name!r}: expected a whole number from {least} to {most}, got {quoted(value)}."
            )
        return int(value)

    return read


def text(_: str, value: str) -> str:
    """Read any text."""
    return value


def documented(**descriptions: str) -> dict[str, Any]:
    """Flags by name, in the form of an OpenAPI operation's parameters."""
    return documented_as(**{name: ({"type": "boolean"}, said) for name, said in descriptions.items()})


def documented_as(**parameters: tuple[dict[str, Any], str]) -> dict[str, Any]:
    """Parameters by name, each with its schema and description, in the form of an OpenAPI operation's parameters."""
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": said, "schema": schema}
            for name, (schema, said) in parameters.items()
        ]
    }


def _unknown(name: str, known: list[str]) -> str:
    if name.lower() in known:
        return f"Unknown query parameter {name!r}; names are lower case: {name.lower()!r}."
    return f"Unknown query parameter {quoted(name)}; known: {', '.join(known)}."


def flag(name: str, value: str) -> bool:
    """Read `true` or `false`."""
    if value in ("true", "false"):
        return value == "true"
    if not value:
        raise InvalidParameters(f"The query parameter {name!r} has no value; expected true or false.")
    how = " in lower case" if value.lower() in ("true", "false") else ""
    raise InvalidParameters(f"The query parameter {name!r}: expected true or false{how}, got {quoted(value)}.")
