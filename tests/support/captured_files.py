"""Files of flagged rows in the service's format."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from harmgauge.capture.sinks import Folder, file_name
from harmgauge.capture.table import to_batch, to_parquet
from tests.support.captured_rows import SPEC, kept_of, rows_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def write(folder: Path, when: datetime, count: int, request_id: str = "r") -> None:
    """Write a file of rows whose scores are 0, 1, ..., and whose classes alternate between cat and dog."""
    kept = kept_of(rows_of(count), np.arange(count), request_id)._replace(time=when.timestamp())
    name = file_name(when.timestamp(), "ff", 0)
    Folder(folder, 10**9, None).write(name, to_parquet([to_batch([kept], SPEC)], SPEC))
