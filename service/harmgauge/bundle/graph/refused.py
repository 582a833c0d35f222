"""Why a graph is not served."""

from __future__ import annotations


class GraphRefused(ValueError):
    """The text names the reason and the remedy."""


def shown(name: bytes) -> str:
    """A name out of the file, fit for a message."""
    return repr(name[:80].decode(errors="replace"))
