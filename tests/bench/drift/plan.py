"""Settings of the benchmarks of drift detectors, and the layout of their tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

STREAMS = int(os.environ.get("STREAMS", "200"))
"""Seeded streams in each cell of a table."""

OUT = Path(os.environ.get("OUT", "docs/measurements/benchmarks"))
DATE = f"{datetime.now(UTC):%Y-%m-%d}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
