"""Reads a process's CPU time, memory and context switches from `/proc`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.memory import MEBIBYTE, PROC, resident_bytes

_UTIME, _STIME, _STARTTIME = 11, 12, 19
"""Positions in `/proc/PID/stat`, counted from the field after the command's name."""

ThreadSwitches = dict[tuple[int, int], int]
"""Voluntary context switches by thread. The key is (thread id, start time), because the kernel reuses ids."""


@dataclass(frozen=True)
class CpuTime:
    """CPU time in user code and in the kernel."""

    user_seconds: float = 0.0
    system_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        return self.user_seconds + self.system_seconds

    def __add__(self, other: CpuTime) -> CpuTime:
        return CpuTime(self.user_seconds + other.user_seconds, self.system_seconds + other.system_seconds)

    def __sub__(self, other: CpuTime) -> CpuTime:
        return CpuTime(self.user_seconds - other.user_seconds, self.system_seconds - other.system_seconds)

    def __mul__(self, factor: float) -> CpuTime:
        return CpuTime(self.user_seconds * factor, self.system_seconds * factor)


def cpu_time(process: int, proc: Path = PROC) -> CpuTime:
    """The time of all threads so far, including those that have ended. The kernel reports it in ticks of 10 ms."""
    fields = _fields(proc / str(process) / "stat")
    ticks = os.sysconf("SC_CLK_TCK")
    return CpuTime(int(fields[_UTIME]) / ticks, int(fields[_STIME]) / ticks)


def resident_mib(process: int, proc: Path = PROC) -> float:
    return resident_bytes(process, proc) / MEBIBYTE


def voluntary_switches(process: int, proc: Path = PROC) -> ThreadSwitches:
    """The switches so far of each thread that runs now: how often it went to sleep."""
    found: ThreadSwitches = {}
    for thread in (proc / str(process) / "task").iterdir():
        try:
            start = int(_fields(thread / "stat")[_STARTTIME])
            status = (thread / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        count = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.MULTILINE)
        assert count is not None
        found[int(thread.name), start] = int(count[1])
    return found


def _fields(stat: Path) -> list[str]:
    """The fields after the command's name, which may contain spaces and parentheses."""
    return stat.read_text().rpartition(")")[2].split()
