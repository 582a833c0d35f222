"""The CPU time of a process."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_seconds(process_id: int) -> float:
    """User and system time of all threads so far."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
