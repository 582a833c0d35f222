"""Why a graph is not served."""

from __future__ import annotations


class GraphRefused(ValueError):
    """The text says what it is about, and what to do."""
