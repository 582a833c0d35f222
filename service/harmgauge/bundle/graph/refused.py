"""The reason why a graph is not served."""

from __future__ import annotations


class GraphRefused(ValueError):
    """The message gives the reason and the remedy."""


def shown(name: bytes) -> str:
    """A name from the file, made safe for a message."""
    return repr(name[:80].decode(errors="replace"))
