"""The names of sources in responses, metrics and logs."""

from __future__ import annotations

from harmgauge.inference.caller import Name

_BETWEEN = ": "
"""Neither a key's name nor that of a source contains a space."""


def label(name: Name) -> str:
    """`NAME`, or `KEY: NAME` for the source of a key: the same name under another key is another source."""
    key, own = name
    return f"{key}{_BETWEEN}{own}" if key else own


def named(text: str) -> Name:
    """The name with this label."""
    key, between, own = text.partition(_BETWEEN)
    return (key, own) if between else ("", text)
