"""The memory of a process."""

from __future__ import annotations

from pathlib import Path

MEBIBYTE = 2**20
PROC = Path("/proc")


def _field(process_id: int, name: str, proc: Path) -> int:
    lines = (proc / str(process_id) / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def resident_bytes(process_id: int, proc: Path = PROC) -> int:
    """The process's resident bytes now."""
    return _field(process_id, "VmRSS", proc)


def peak_bytes(process_id: int) -> int:
    """The process's peak resident bytes."""
    return _field(process_id, "VmHWM", PROC)
